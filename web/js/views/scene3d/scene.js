/** The town in three.js: ground, feeder, buildings with their batteries and roofs, flows as particles. */

import { palette } from "../../status.js";
import { along, arch, building, feed, ground, particles, pointOn } from "./town.js";

/**
 * @typedef {import("../../types.d.ts").Hello} Hello
 * @typedef {import("../../types.d.ts").Frame} Frame
 * @typedef {import("./town.js").Point} Point
 */
const MOST_PARTICLES = 900;
const STRIDE = 25; // metres of a way that has the usual number of particles, and the usual time from end to end
const GRID = "grid";

/** @param {any} THREE @param {Record<string, string>} c */
const wallColour = (THREE, c) => new THREE.Color(c["surface-3"]).lerp(new THREE.Color(c["text-3"]), 0.5);

/**
 * A roof with a ridge along its width.
 * @param {any} THREE
 * @param {number} width
 * @param {number} depth
 * @param {number} height
 */
function gable(THREE, width, depth, height) {
  const shape = new THREE.Shape([new THREE.Vector2(-depth / 2, 0), new THREE.Vector2(depth / 2, 0), new THREE.Vector2(0, height)]);
  return new THREE.ExtrudeGeometry(shape, { depth: width, bevelEnabled: false }).translate(0, 0, -width / 2).rotateY(Math.PI / 2);
}

export class Scene {
  /**
   * @param {any} THREE
   * @param {Hello} hello
   */
  constructor(THREE, hello) {
    this.THREE = THREE;
    this.hello = hello;
    this.scene = new THREE.Scene();
    this.camera = new THREE.PerspectiveCamera(42, 1, 0.5, 600);
    /** @type {Map<string, any>} */
    this.houses = new Map();
    /** @type {Map<string, Point>} above houses and mast: names stand here, transfers begin and end here */
    this.places = new Map();
    /** @type {Point[]} what has to be in the picture */
    this.outline = [];
    /** @type {Map<string, import("./town.js").Way>} of prosumers to the utility, made when first used */
    this.feeds = new Map();
    /** @type {{place: (part: number) => Point, pace: number, power: number, count: number, colour: any}[]} */
    this.flows = [];
    this.build();
  }

  build() {
    const { THREE, scene, hello } = this;
    const c = palette();
    scene.clear();
    this.houses.clear();
    scene.background = new THREE.Color(c.bg);
    scene.fog = new THREE.Fog(c.bg, 72, 122);
    scene.add(new THREE.HemisphereLight(0xffffff, new THREE.Color(c["surface-3"]), 1.5));
    const sun = new THREE.DirectionalLight(0xffffff, 1.6);
    sun.position.set(30, 50, 20);
    scene.add(sun);
    this.sun = sun;
    const plane = new THREE.Mesh(new THREE.CircleGeometry(54, 64), new THREE.MeshLambertMaterial({ color: new THREE.Color(c.surface).lerp(new THREE.Color(c["surface-3"]), 0.5) }));
    plane.rotation.x = -Math.PI / 2;
    plane.position.y = -0.05;
    scene.add(plane);
    this.buildFeeder(c);
    for (const agent of hello.agents) this.buildHouse(agent, c);
    this.buildLinks(c);
    this.dots = new THREE.InstancedMesh(new THREE.SphereGeometry(0.24, 8, 6), new THREE.MeshBasicMaterial(), MOST_PARTICLES);
    this.dots.count = 0;
    this.dots.frustumCulled = false;
    scene.add(this.dots);
  }

  /** @param {Record<string, string>} c */
  buildFeeder(c) {
    const { THREE, scene, hello } = this;
    const { feeder } = hello;
    if (!feeder) return;
    const { buses, branches } = feeder;
    this.fedBy = new Map(branches.target.map((bus, k) => [bus, k]));
    this.outline.push(...buses.x.map((bx, i) => { const [x, z] = ground(bx, buses.y[i]); return /** @type {Point} */ ([x, 0, z]); }));
    this.branches = branches.source.map((from, k) => {
      const [x1, z1] = ground(buses.x[from], buses.y[from]);
      const [x2, z2] = ground(buses.x[branches.target[k]], buses.y[branches.target[k]]);
      const length = Math.hypot(x2 - x1, z2 - z1);
      const line = new THREE.Mesh(new THREE.BoxGeometry(Math.max(0.01, length), 0.1, 0.22), new THREE.MeshLambertMaterial({ color: c["line-strong"] }));
      line.position.set((x1 + x2) / 2, 0.05, (z1 + z2) / 2);
      line.rotation.y = -Math.atan2(z2 - z1, x2 - x1);
      scene.add(line);
      return line;
    });
    const [x, z] = ground(buses.x[feeder.slack], buses.y[feeder.slack]);
    const mast = new THREE.Mesh(new THREE.ConeGeometry(1.3, 7, 4, 1, true), new THREE.MeshBasicMaterial({ color: c["text-2"], wireframe: true }));
    mast.position.set(x, 3.5, z);
    scene.add(mast);
    const arm = new THREE.Mesh(new THREE.BoxGeometry(0.12, 0.12, 3.4), new THREE.MeshLambertMaterial({ color: c["text-2"] }));
    arm.position.set(x, 5.4, z);
    scene.add(arm);
    this.mast = mast;
    this.places.set(GRID, [x, 6.2, z]);
    this.outline.push([x, 7.2, z], [x, 0, z - 1.7], [x, 0, z + 1.7]);
  }

  /**
   * @param {import("../../types.d.ts").HelloAgent} agent
   * @param {Record<string, string>} c
   */
  buildHouse(agent, c) {
    const { THREE, scene, hello } = this;
    const shape = building(agent.archetype, hello.agents.length);
    const [x, z] = ground(agent.x, agent.y);
    const group = new THREE.Group();
    group.position.set(x, 0, z);
    const wall = new THREE.Mesh(new THREE.BoxGeometry(shape.width, shape.height, shape.depth), new THREE.MeshLambertMaterial({ color: wallColour(THREE, c) }));
    wall.position.y = shape.height / 2;
    wall.userData.agent = agent.id;
    group.add(wall);
    const panel = new THREE.MeshLambertMaterial({ color: agent.pv_kwp === 0 ? c["line-strong"] : "#24426b", emissive: new THREE.Color(c["c-generation"]), emissiveIntensity: 0 });
    const roof = new THREE.Mesh(shape.roof === "gable" ? gable(THREE, shape.width * 1.1, shape.depth * 1.14, shape.depth * 0.5) : new THREE.BoxGeometry(shape.width * 0.9, 0.16, shape.depth * 0.9), panel);
    roof.position.y = shape.height + (shape.roof === "gable" ? 0 : 0.12);
    group.add(roof);
    const ring = new THREE.Mesh(new THREE.RingGeometry(shape.width * 0.84, shape.width * 0.9, 48), new THREE.MeshBasicMaterial({ color: c["s-balanced"], side: THREE.DoubleSide }));
    ring.rotation.x = -Math.PI / 2;
    ring.position.y = 0.02;
    group.add(ring);
    this.connect(agent, x, z, c);
    const tall = shape.height * 1.15;
    const battery = agent.capacity_kwh > 0 ? this.buildBattery(shape, tall, c) : null;
    if (battery) group.add(battery.group);
    scene.add(group);
    this.houses.set(agent.id, { group, wall, ring, panel, level: battery?.level ?? null, tall, pv: agent.pv_kwp });
    const [top, reach] = [shape.height + shape.depth * 0.5, shape.width * 1.13]; // the ring of the selected one
    this.places.set(agent.id, [x, top, z]);
    this.outline.push([x, top + 1, z], [x - reach, 0, z], [x + reach, 0, z], [x, 0, z - reach], [x, 0, z + reach]);
  }

  /**
   * The cable from its bus to its door.
   * @param {import("../../types.d.ts").HelloAgent} agent
   * @param {number} x
   * @param {number} z
   * @param {Record<string, string>} c
   */
  connect(agent, x, z, c) {
    const { THREE, hello } = this;
    const buses = hello.feeder?.buses;
    if (!buses) return;
    const [bx, bz] = ground(buses.x[agent.bus], buses.y[agent.bus]);
    const length = Math.hypot(bx - x, bz - z);
    if (length < 0.1) return;
    const cable = new THREE.Mesh(new THREE.BoxGeometry(length, 0.06, 0.1), new THREE.MeshLambertMaterial({ color: c["line-strong"] }));
    cable.position.set((x + bx) / 2, 0.03, (z + bz) / 2);
    cable.rotation.y = -Math.atan2(bz - z, bx - x);
    this.scene.add(cable);
  }

  /**
   * The ways that neighbours' energy can take, in the air; faint, as they are agreements and no cables.
   * @param {Record<string, string>} c
   */
  buildLinks(c) {
    const { THREE, scene, hello } = this;
    const faint = new THREE.LineBasicMaterial({ color: c["c-transfer"], transparent: true, opacity: 0.35 });
    for (const { source, target } of hello.links) {
      const [from, to] = [this.places.get(source), this.places.get(target)];
      if (!from || !to) continue;
      const points = Array.from({ length: 25 }, (_, k) => new THREE.Vector3(...arch(from, to, k / 24)));
      scene.add(new THREE.Line(new THREE.BufferGeometry().setFromPoints(points), faint));
    }
  }

  /**
   * A glass column that fills.
   * @param {ReturnType<typeof building>} shape
   * @param {number} tall
   * @param {Record<string, string>} c
   */
  buildBattery(shape, tall, c) {
    const { THREE } = this;
    const radius = 0.42 * Math.max(0.6, shape.scale);
    const group = new THREE.Group();
    group.position.set(shape.width / 2 + radius * 1.5, 0, shape.depth / 2 - radius);
    const glass = new THREE.Mesh(new THREE.CylinderGeometry(radius, radius, tall, 20, 1, true), new THREE.MeshLambertMaterial({ color: c["text-3"], transparent: true, opacity: 0.28, side: THREE.DoubleSide, depthWrite: false }));
    glass.position.y = tall / 2;
    const level = new THREE.Mesh(new THREE.CylinderGeometry(radius * 0.82, radius * 0.82, 1, 20), new THREE.MeshLambertMaterial({ color: c["c-battery"] }));
    group.add(level, glass);
    return { group, level };
  }

  /**
   * @param {Frame} frame
   * @param {string|null} selected
   */
  update(frame, selected) {
    const { THREE } = this;
    const c = palette();
    for (const agent of frame.agents) {
      const house = this.houses.get(agent.id);
      if (!house) continue;
      house.ring.material.color.set(c[`s-${agent.status}`]);
      house.ring.scale.setScalar(agent.id === selected ? 1.25 : 1);
      house.wall.material.color.set(agent.id === selected ? c.accent : wallColour(THREE, c));
      house.panel.emissiveIntensity = Math.min(1, agent.generation_kw / Math.max(1, house.pv ?? 5)) * 0.9;
      if (house.level) {
        const part = Math.max(0.01, Math.min(1, agent.energy_level));
        house.level.scale.y = part * house.tall;
        house.level.position.y = (part * house.tall) / 2;
      }
    }
    frame.branches.loading.forEach((loading, k) => {
      const line = this.branches?.[k];
      if (!line) return;
      const open = frame.branches.open.includes(k);
      line.visible = !open;
      line.material.color.set(loading > 1 ? c.poor : loading > 0.8 ? c.fair : c["line-strong"]);
      line.scale.z = 1 + Math.min(loading, 1.5) * 2;
    });
    this.mast?.material.color.set(frame.islanded ? c.poor : c["text-2"]);
    this.sun.intensity = 0.7 + 1.4 * Math.min(1, frame.metrics.total_generation_kw / Math.max(1, this.hello.agents.reduce((sum, a) => sum + (a.pv_kwp ?? 4), 0) * 0.6));
    const colour = (/** @type {import("../../types.d.ts").Flow} */ flow) => new THREE.Color(flow.source === GRID ? c["c-import"] : flow.target === GRID ? c["c-export"] : c["c-transfer"]);
    let free = MOST_PARTICLES;
    this.flows = [...frame.energy_flows].sort((a, b) => b.power_kw - a.power_kw).flatMap((flow) => {
      const way = this.way(flow);
      const strides = Math.max(1, (way?.length ?? 0) / STRIDE);
      const count = way ? Math.min(free, Math.round(particles(flow.power_kw) * strides)) : 0;
      free -= count;
      return way && count ? [{ place: way.place, pace: 1 / strides, power: flow.power_kw, count, colour: colour(flow) }] : [];
    });
  }

  /**
   * How a flow gets from end to end: between neighbours through the air, else along the cables.
   * @param {import("../../types.d.ts").Flow} flow
   * @returns {{place: (part: number) => Point, length: number}|null}
   */
  way({ source, target }) {
    if (source !== GRID && target !== GRID) {
      const [from, to] = [this.places.get(source), this.places.get(target)];
      return from && to ? { place: (part) => arch(from, to, part), length: 0 } : null;
    }
    const id = source === GRID ? target : source;
    let way = this.feeds.get(id);
    if (!way) {
      const agent = this.hello.agents.find((one) => one.id === id);
      if (!agent || !this.hello.feeder || !this.fedBy) return null;
      this.feeds.set(id, (way = feed(agent, this.hello.feeder, this.fedBy)));
    }
    const known = way;
    return { place: (part) => pointOn(known, source === GRID ? 1 - part : part), length: known.length };
  }

  /**
   * The horizon fades, from wherever one looks.
   * @param {number} distance of the camera from the middle
   */
  seenFrom(distance) {
    this.scene.fog.near = distance + 16;
    this.scene.fog.far = distance + 66;
  }

  /** @param {number} seconds */
  animate(seconds) {
    const { THREE, dots } = this;
    const matrix = new THREE.Matrix4();
    const size = this.hello.agents.length > 60 ? 0.6 : 1;
    let n = 0;
    for (const flow of this.flows)
      for (let k = 0; k < flow.count; k += 1) {
        const [x, y, z] = flow.place(along(seconds * flow.pace, flow.power, k, flow.count));
        const scale = size * (0.7 + Math.min(1, flow.power / 6));
        dots.setMatrixAt(n, matrix.makeScale(scale, scale, scale).setPosition(x, y, z));
        dots.setColorAt(n, flow.colour);
        n += 1;
      }
    dots.count = n;
    dots.instanceMatrix.needsUpdate = true;
    if (dots.instanceColor) dots.instanceColor.needsUpdate = true;
  }

  /**
   * The prosumer at a place of the picture.
   * @param {number} x −1 … 1
   * @param {number} y −1 … 1
   * @returns {string|null}
   */
  pick(x, y) {
    const ray = new this.THREE.Raycaster();
    ray.setFromCamera(new this.THREE.Vector2(x, y), this.camera);
    return ray.intersectObjects([...this.houses.values()].map((house) => house.wall))[0]?.object.userData.agent ?? null;
  }

  dispose() {
    this.scene.traverse((/** @type {any} */ node) => {
      node.geometry?.dispose();
      node.material?.dispose?.();
    });
  }
}

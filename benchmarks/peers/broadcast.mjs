// One frame serialised and sent to every client, ten times a second: the usual Node server. node broadcast.mjs FRAME.json HZ
import { readFileSync } from "node:fs";
import { WebSocketServer } from "ws";

const frame = JSON.parse(readFileSync(process.argv[2], "utf8"));
const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false });
server.on("listening", () => console.log(server.address().port));
setInterval(() => {
  if (!server.clients.size) return;
  frame.timestamp = new Date().toISOString();
  const data = Buffer.from(JSON.stringify(frame)); // once: a string would be turned into bytes for every client
  for (const client of server.clients) if (client.readyState === 1) client.send(data, { binary: false });
}, 1000 / Number(process.argv[3]));

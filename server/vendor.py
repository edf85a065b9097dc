"""The libraries of the page: which of their files are served, and packaged into the wheel."""

VENDOR = {
    "d3.min.js": "d3/dist/d3.min.js",
    "uPlot.iife.min.js": "uplot/dist/uPlot.iife.min.js",
    "uPlot.min.css": "uplot/dist/uPlot.min.css",
    "three.module.min.js": "three/build/three.module.min.js",
    "three.core.min.js": "three/build/three.core.min.js",
}
"""Served as `/vendor/NAME`; files in node_modules, of which nothing else is served."""

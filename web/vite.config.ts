import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";
import components from "./components.js";

// `npm run dev` shows the page of a running service: its address is in PAGE_SERVICE.
const service = process.env.PAGE_SERVICE ?? "http://127.0.0.1:8002";

export default defineConfig({
  plugins: [svelte(), components()],
  build: {
    target: "es2022",
    // The Content-Security-Policy allows no inline script, style or font.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 1000,
  },
  server: {
    port: 8003,
    // The service refuses requests of another origin.
    proxy: {
      "/api": {
        target: service,
        changeOrigin: true,
        configure: (proxy) => proxy.on("proxyReq", (request) => request.removeHeader("origin")),
      },
    },
  },
});

// The log as a drawer that slides in over the page, and in a page's own place.

export const DRAWER = `
:host(:not([drawer])) {
  height: 480px;
  overflow: hidden;
  border: 1px solid var(--line);
  border-radius: var(--radius);
  background: var(--raised);
}

:host([drawer]) {
  display: inline-block;
}

:host([drawer][button="none"]) {
  display: contents;
}

.drawer {
  position: fixed;
  inset: 0 0 0 auto;
  z-index: 2147483000;
  display: block;
  width: min(1040px, 100%);
  height: 100%;
  max-height: none;
  margin: 0;
  padding: 0;
  border: 0;
  background: var(--raised);
  color: var(--ink);
  box-shadow: var(--shadow-high);
  visibility: hidden;
  transform: translateX(102%);
  transition: transform var(--gentle), visibility 0s linear 240ms, overlay 240ms allow-discrete;
}

.drawer.is-open {
  visibility: visible;
  transform: none;
  transition: transform var(--gentle), visibility 0s, overlay 240ms allow-discrete;
}
`;

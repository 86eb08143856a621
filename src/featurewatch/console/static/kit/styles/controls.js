// Written from css/controls.css by python -m featurewatch.commands.generated.

export const CONTROLS = `
/* What the console's own pages and the kit's widgets share: icons, badge, controls, health, figures. */

.icon {
  flex: none;
  fill: none;
  stroke: currentcolor;
  stroke-width: 1.5;
  stroke-linecap: round;
  stroke-linejoin: round;
}

/* The connection's badge */

.badge {
  display: inline-flex;
  align-items: center;
  gap: 7px;
  height: 26px;
  padding: 0 10px 0 9px;
  border: 1px solid var(--line);
  border-radius: 13px;
  color: var(--ink-2);
  font-size: 12.5px;
  white-space: nowrap;
}

.badge-retry {
  height: 26px;
  margin-right: -4px;
  padding: 0 4px;
  border: 0;
  background: transparent;
  color: inherit;
  font: inherit;
  text-decoration: underline;
  text-underline-offset: 2px;
  cursor: pointer;
}

.badge-dot {
  width: 8px;
  height: 8px;
  border-radius: 50%;
  background: var(--unknown);
  transition: background var(--gentle);
}

.badge[data-tone="live"] .badge-dot {
  background: var(--healthy);
  animation: breathe 3s ease-in-out infinite;
}

.badge[data-tone="waiting"] .badge-dot {
  background: var(--warning);
  animation: breathe 1s ease-in-out infinite;
}

.badge[data-tone="lost"] {
  border-color: transparent;
  background: var(--error-soft);
  color: var(--error);
}

.badge[data-tone="lost"] .badge-dot {
  border: 2px solid var(--error);
  background: transparent;
}

@keyframes breathe {
  50% {
    opacity: 0.45;
  }
}

/* Controls */

.input {
  height: 32px;
  max-width: 100%;
  padding: 0 10px;
  border: 1px solid var(--line-strong);
  border-radius: var(--radius-small);
  background: var(--surface);
  color: var(--ink);
  font: inherit;
  font-size: 13px;
}

select.input {
  padding: 0 6px;
}

.input::placeholder {
  color: var(--ink-3);
  opacity: 1;
}

/* An empty one has nothing to clear: the room is the placeholder's. */
.input:placeholder-shown::-webkit-search-cancel-button {
  display: none;
}

.search {
  position: relative;
  display: block;
}

.search .icon {
  position: absolute;
  left: 10px;
  top: 8px;
  color: var(--ink-3);
  pointer-events: none;
}

.search .input {
  width: 100%;
  padding-left: 34px;
}

.button {
  display: inline-flex;
  align-items: center;
  justify-content: center;
  gap: 7px;
  height: 32px;
  padding: 0 12px;
  border: 1px solid var(--line-strong);
  border-radius: var(--radius-small);
  background: var(--surface);
  color: var(--ink);
  font: inherit;
  font-size: 13px;
  font-weight: 500;
  text-decoration: none;
  white-space: nowrap;
  cursor: pointer;
  transition: background var(--quick), border-color var(--quick);
}

.button:hover {
  background: var(--sunken);
}

.button-quiet {
  border-color: transparent;
  background: transparent;
  color: var(--accent);
}

.button-small {
  height: 26px;
  padding: 0 8px;
  font-size: 12px;
}

.icon-button {
  display: inline-grid;
  place-items: center;
  flex: none;
  width: 32px;
  height: 32px;
  padding: 0;
  border: 0;
  border-radius: var(--radius-small);
  background: transparent;
  color: var(--ink-3);
  cursor: pointer;
  transition: background var(--quick), color var(--quick);
}

.icon-button:hover {
  background: var(--sunken);
  color: var(--ink);
}

.chip {
  flex: none;
  padding: 0 6px;
  border-radius: 4px;
  background: var(--sunken);
  color: var(--ink-2);
  font-size: 11px;
  line-height: 17px;
}

/* Health: always an icon and a word besides the colour */

.health {
  display: inline-flex;
  align-items: center;
  gap: 7px;
  color: var(--unknown);
  font-size: 13px;
  font-weight: 500;
}

/* Most fonts set capitals a little above the middle of their line. */
.health .icon {
  transform: translateY(-0.75px);
}

.health[data-health="error"] { color: var(--error); }
.health[data-health="warning"] { color: var(--warning); }
.health[data-health="healthy"] { color: var(--healthy); }

/* Figures */

.figure {
  display: inline-flex;
  align-items: baseline;
  gap: 3px;
  white-space: nowrap;
}

.figure-unit {
  color: var(--ink-3);
  font-size: 0.8em;
  font-weight: 400;
}

.figure-unit:empty,
.figure-mark:empty {
  display: none;
}

.figure[data-status="warning"] .figure-value { color: var(--warning); }
.figure[data-status="error"] .figure-value { color: var(--error); }

@media (max-width: 700px) {
  /* A smaller text would make phones zoom in on the field. */
  .input {
    height: 36px;
    font-size: 16px;
  }

  .search .icon {
    top: 10px;
  }
}

@media (forced-colors: active) {
  /* Only a ground tells what is chosen or on: it stays where the system chooses the colours. */
  [aria-pressed="true"],
  .radio :checked + span,
  .nav [aria-current],
  .switch-knob,
  .toggle-knob {
    forced-color-adjust: none;
  }
}
`;

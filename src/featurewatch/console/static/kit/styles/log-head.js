// What stands above a log's lines: its name, its filters, the switch, which place is shown.

export const LOG_HEAD = `
.log {
  display: flex;
  flex-direction: column;
  min-width: 0;
  height: 100%;
  background: var(--raised);
  container-type: inline-size;
}

.log-top {
  display: flex;
  align-items: center;
  gap: var(--s3);
  padding: var(--s3) var(--s3) 0 var(--s4);
}

.log-top h2 {
  font-size: 16px;
  font-weight: 600;
}

.log-name {
  overflow: hidden;
  color: var(--ink-2);
  font-weight: 500;
  text-overflow: ellipsis;
  white-space: nowrap;
}

.log-feature {
  min-width: 0;
  max-width: 260px;
  font-weight: 500;
}

.log-close {
  margin-left: auto;
}

.log-exports {
  display: flex;
  align-items: center;
  gap: 6px;
}

.log-export-word {
  color: var(--ink-3);
  font-size: 12.5px;
}

.log-filters {
  display: flex;
  flex-wrap: wrap;
  align-items: center;
  gap: var(--s2) var(--s3);
  padding: var(--s3) var(--s4);
  border-bottom: 1px solid var(--line);
}

.log-filters .search {
  flex: 1 1 240px;
}

.log-choices {
  display: flex;
  flex-wrap: wrap;
  gap: var(--s2);
}

.log-source-filter {
  width: 136px;
}

.levels {
  display: flex;
  gap: 4px;
}

.level {
  display: inline-flex;
  align-items: center;
  gap: 6px;
  height: 28px;
  padding: 0 9px;
  border: 1px solid var(--line);
  border-radius: 14px;
  background: transparent;
  color: var(--ink-2);
  font: inherit;
  font-size: 12.5px;
  cursor: pointer;
}

.level::before {
  content: "";
  width: 8px;
  height: 8px;
  border-radius: 2px;
  background: var(--level);
}

.level:hover {
  border-color: var(--line-strong);
}

.level[aria-pressed="true"] {
  border-color: var(--accent);
  background: var(--accent-soft);
  color: var(--ink);
  font-weight: 500;
}

[data-level="debug"] { --level: var(--line-strong); }
[data-level="info"] { --level: var(--plot-main); }
[data-level="warn"] { --level: var(--warning); }
[data-level="error"] { --level: var(--error); }
[data-level="fatal"] { --level: var(--error); }

.log-custom {
  display: flex;
  align-items: center;
  gap: var(--s2);
  color: var(--ink-3);
}

.switch {
  display: inline-flex;
  align-items: center;
  gap: 7px;
  height: 28px;
  padding: 0;
  border: 0;
  background: transparent;
  color: var(--ink-2);
  font: inherit;
  font-size: 13px;
  cursor: pointer;
}

.switch:disabled {
  cursor: not-allowed;
  opacity: 0.6;
}

.switch-knob {
  position: relative;
  width: 30px;
  height: 18px;
  border-radius: 9px;
  background: var(--line-strong);
  transition: background var(--quick);
}

.switch-knob::after {
  content: "";
  position: absolute;
  left: 2px;
  top: 2px;
  width: 14px;
  height: 14px;
  border-radius: 50%;
  background: var(--surface);
  transition: transform var(--quick);
}

.switch[aria-checked="true"] .switch-knob {
  background: var(--healthy);
}

.switch[aria-checked="true"] .switch-knob::after {
  transform: translateX(12px);
}

.log-place {
  display: flex;
  align-items: center;
  justify-content: space-between;
  gap: var(--s3);
  padding: 6px var(--s4);
  border-bottom: 1px solid var(--line);
  background: var(--accent-soft);
  font-size: 13px;
}
`;

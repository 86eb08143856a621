// A log's lines, what is opened of them, and what stands below; the head's narrow form too, since both go by one width.

export const LOGS = `
.log-body {
  position: relative;
  flex: 1;
  min-height: 0;
}

.vlist {
  --log-row: 26px;
  position: absolute;
  inset: 0;
  overflow-x: hidden;
  overflow-y: scroll;
  overflow-anchor: none;
  overscroll-behavior: contain;
  contain: strict;
}

.vlist:focus-visible {
  outline-offset: -2px;
}

.vlist-space {
  position: relative;
  min-height: 100%;
}

.log-row {
  position: absolute;
  inset: 0 0 auto 0;
  min-height: var(--log-row);
  font-family: var(--mono);
  font-size: 12.5px;
}

.log-row::before {
  content: "";
  position: absolute;
  inset: 0 auto 0 0;
  width: 3px;
  background: transparent;
}

.log-row[data-level="warn"]::before,
.log-row[data-level="error"]::before,
.log-row[data-level="fatal"]::before {
  background: var(--level);
}

.log-row[data-level="fatal"] .log-head {
  background: var(--error-soft);
}

.log-head {
  display: grid;
  grid-template-columns: 24px 104px 46px 84px minmax(0, 1fr) auto;
  align-items: center;
  gap: 10px;
  height: var(--log-row);
  padding: 0 var(--s4) 0 6px;
  cursor: default;
}

.log-head:hover {
  background: var(--sunken);
}

.log-toggle {
  display: grid;
  place-items: center;
  width: 24px;
  height: 24px;
  padding: 0;
  border: 0;
  background: transparent;
  color: var(--ink-3);
  cursor: pointer;
}

.log-toggle .icon {
  width: 12px;
  height: 12px;
  transition: transform var(--quick);
}

.log-row.is-open .log-toggle .icon {
  transform: rotate(90deg);
}

.log-time,
.log-source {
  overflow: hidden;
  color: var(--ink-3);
  text-overflow: ellipsis;
  white-space: nowrap;
}

.log-level {
  color: var(--ink-3);
}

[data-level="warn"] .log-level,
[data-level="error"] .log-level,
[data-level="fatal"] .log-level {
  color: var(--level);
  font-weight: 700;
}

.log-message,
.log-source {
  unicode-bidi: isolate;
}

.log-message {
  overflow: hidden;
  text-overflow: ellipsis;
  white-space: pre;
}

[data-level="debug"] .log-message {
  color: var(--ink-2);
}

.log-row mark {
  border-radius: 2px;
  background: var(--mark);
  color: var(--mark-ink);
}

.log-gap {
  display: grid;
  place-items: center;
  height: var(--log-row);
  border-block: 1px dashed var(--line-strong);
  background: var(--warning-soft);
  color: var(--warning);
  font-family: var(--sans);
}

.log-fill {
  padding: 0;
  border: 0;
  background: transparent;
  color: inherit;
  font: inherit;
  text-decoration: underline;
  text-underline-offset: 2px;
  cursor: pointer;
}

.log-row.is-here::before {
  width: 4px;
  background: var(--accent);
}

.log-row.is-here .log-head {
  background: var(--accent-soft);
}

.log-row.is-open {
  z-index: 1;
  background: var(--sunken);
}

.log-details {
  display: grid;
  gap: var(--s3);
  padding: var(--s1) var(--s4) var(--s4) 40px;
}

.log-details pre {
  margin: 0;
  max-height: 320px;
  overflow: auto;
  overflow-wrap: anywhere;
  white-space: pre-wrap;
}

.log-full {
  font-size: 12.5px;
}

.log-actions {
  font-family: var(--sans);
  display: flex;
  flex-wrap: wrap;
  gap: var(--s2);
}

.log-trace {
  padding: 0;
  border: 0;
  background: transparent;
  color: var(--accent);
  font: 12.5px/1.5 var(--mono);
  text-align: left;
  overflow-wrap: anywhere;
  cursor: copy;
}

.log-copied {
  color: var(--healthy);
  font-size: 12px;
}

.log-facts {
  display: grid;
  grid-template-columns: max-content minmax(0, 1fr);
  gap: 3px var(--s4);
  font-family: var(--sans);
}

.log-facts dt,
.log-metadata h3 {
  color: var(--ink-3);
  font: 12.5px/1.5 var(--sans);
}

.log-facts dd {
  overflow-wrap: anywhere;
}

.log-note {
  position: absolute;
  inset: 0;
  display: grid;
  place-items: center;
  padding: var(--s5);
  color: var(--ink-3);
  text-align: center;
  pointer-events: none;
}

.log-note[data-kind="failed"] {
  color: var(--error);
}

.log-jump {
  position: absolute;
  left: 50%;
  bottom: var(--s4);
  display: inline-flex;
  align-items: center;
  gap: 7px;
  height: 32px;
  padding: 0 14px 0 10px;
  border: 1px solid var(--line-strong);
  border-radius: 16px;
  background: var(--raised);
  box-shadow: 0 4px 16px rgb(0 0 0 / 18%);
  color: var(--ink);
  font: inherit;
  font-size: 13px;
  font-weight: 500;
  transform: translateX(-50%);
  cursor: pointer;
}

.log-jump.has-new {
  border-color: var(--accent);
  background: var(--accent);
  color: var(--accent-ink);
}

.log-foot {
  display: flex;
  align-items: center;
  justify-content: space-between;
  gap: var(--s3);
  padding: 7px var(--s4);
  border-top: 1px solid var(--line);
  color: var(--ink-3);
  font-size: 12.5px;
}

.log-zone {
  margin-right: auto;
}

.log-status {
  white-space: nowrap;
}

.log-status::after {
  content: "·";
  margin-left: var(--s3);
}

.log-progress {
  display: inline-flex;
  align-items: center;
  gap: var(--s2);
  margin-right: var(--s2);
}

/* By the log's own width, which in a page's column is not the screen's. */
@container (max-width: 700px) {
  .log-top {
    flex-wrap: wrap;
    gap: var(--s2);
    padding: var(--s2) var(--s3) 0;
  }

  .log-top h2 {
    position: absolute;
    clip-path: inset(50%);
  }

  .log-feature {
    flex: 1 1 0;
  }

  .log-close {
    width: 40px;
    height: 40px;
  }

  .log-filters {
    padding: var(--s2) var(--s3) var(--s3);
  }

  .log-filters .search {
    flex-basis: 100%;
  }

  .levels {
    flex: 1 1 100%;
  }

  .level {
    flex: 1 1 auto;
    justify-content: center;
    height: 34px;
    padding: 0 4px;
    border-radius: var(--radius-small);
  }

  .log-custom {
    flex-wrap: wrap;
  }

  .log-choices {
    flex: 1 1 0;
    flex-wrap: nowrap;
    min-width: 0;
  }

  .log-choices .input {
    flex: 1 1 0;
    min-width: 0;
  }

  .log-foot {
    flex-wrap: wrap;
    gap: 4px var(--s3);
    padding-inline: var(--s3);
  }

  .log-export-word {
    display: none;
  }

  .switch {
    height: 36px;
    margin-left: auto;
  }

  /* Two lines a row: when and how bad above, what below. */
  .vlist {
    --log-row: 46px;
  }

  .log-head {
    grid-template-columns: 28px auto auto minmax(0, 1fr) auto;
    grid-template-rows: 18px 18px;
    align-content: center;
    gap: 0 var(--s2);
    padding-right: var(--s3);
  }

  .log-toggle {
    grid-row: 1 / 3;
    width: 28px;
    height: 44px;
  }

  .log-message {
    grid-column: 2 / -1;
    grid-row: 2;
  }

  .log-details {
    padding-left: var(--s4);
  }
}
`;

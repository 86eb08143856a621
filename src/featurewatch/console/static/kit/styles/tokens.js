// The widgets' vocabulary: each colour by the page's own color-scheme, each to be replaced by --feature-<name>.

export const TOKENS = `
:host {
  display: block;
}

:host([hidden]) {
  display: none;
}

:host([theme="light"]) {
  color-scheme: light;
}

:host([theme="dark"]) {
  color-scheme: dark;
}

:host([theme="auto"]) {
  color-scheme: light dark;
}

/* theme="page": the page has these very names, as the console does. */
:host(:not([theme="page"])) {
  --ground: var(--feature-ground, light-dark(#f4f5f7, #0d1015));
  --surface: var(--feature-surface, light-dark(#ffffff, #14181f));
  --raised: var(--feature-raised, light-dark(#ffffff, #191e26));
  --sunken: var(--feature-sunken, light-dark(#eef0f3, #1c222b));
  --line: var(--feature-line, light-dark(#e1e4e9, #252c37));
  --line-strong: var(--feature-line-strong, light-dark(#8a93a1, #6b7686));
  --ink: var(--feature-ink, light-dark(#151a21, #e9edf3));
  --ink-2: var(--feature-ink-2, light-dark(#465060, #b5bfcc));
  --ink-3: var(--feature-ink-3, light-dark(#5d6776, #93a0b0));
  --accent: var(--feature-accent, light-dark(#2f5fd0, #8aabff));
  --accent-ink: var(--feature-accent-ink, light-dark(#ffffff, #0d1015));
  --accent-soft: var(--feature-accent-soft, light-dark(#e8eefb, #1b2742));
  --error: var(--feature-error, light-dark(#bf2d2d, #ff8078));
  --error-soft: var(--feature-error-soft, light-dark(#fcecec, #34191b));
  --warning: var(--feature-warning, light-dark(#8d5a00, #eab04a));
  --warning-soft: var(--feature-warning-soft, light-dark(#fdf3dd, #2e2412));
  --healthy: var(--feature-healthy, light-dark(#1b7549, #55c792));
  --healthy-soft: var(--feature-healthy-soft, light-dark(#e6f4ec, #11291f));
  --unknown: var(--feature-unknown, light-dark(#5d6776, #93a0b0));
  --unknown-soft: var(--feature-unknown-soft, light-dark(#eef0f3, #1c222b));
  --plot-main: var(--feature-plot-main, light-dark(#3f6fd8, #6f96f5));
  --plot-low: var(--feature-plot-low, light-dark(#93b0ea, #5577c4));
  --plot-error: var(--feature-plot-error, light-dark(#d34444, #f0655f));
  --mark: var(--feature-mark, light-dark(#ffe58a, #6b5510));
  --mark-ink: var(--feature-mark-ink, light-dark(#151a21, #fff4cf));
  --shadow: var(--feature-shadow, 0 1px 2px light-dark(rgb(20 26 33 / 5%), transparent));
  --shadow-high: var(--feature-shadow-high, 0 0 0 1px light-dark(rgb(20 26 33 / 6%), rgb(255 255 255 / 6%)), -12px 0 44px light-dark(rgb(20 26 33 / 16%), rgb(0 0 0 / 60%)));
  --s1: 4px;
  --s2: 8px;
  --s3: 12px;
  --s4: 16px;
  --s5: 24px;
  --s6: 32px;
  --s7: 48px;
  --radius: var(--feature-radius, 10px);
  --radius-small: var(--feature-radius-small, 6px);
  --sans: var(--feature-font, ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", Arial, sans-serif);
  --mono: var(--feature-mono, ui-monospace, "SF Mono", SFMono-Regular, Menlo, Consolas, "Liberation Mono", "DejaVu Sans Mono", monospace);
  --quick: 120ms ease-out;
  --gentle: 240ms cubic-bezier(0.2, 0.7, 0.2, 1);
}

:host {
  color: var(--ink);
  font: 14px/1.45 var(--sans);
  font-variant-numeric: tabular-nums;
}

@media (prefers-reduced-motion: reduce) {
  :host {
    --quick: 0s;
    --gentle: 0s;
  }

  *,
  *::before,
  *::after {
    animation: none !important;
    transition: none !important;
  }
}
`;

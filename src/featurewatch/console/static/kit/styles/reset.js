// What a widget's shadow root begins with: nothing of the page's own sheets reaches into it.

export const RESET = `
*,
*::before,
*::after {
  box-sizing: border-box;
}

[hidden] {
  display: none !important;
}

h2,
h3,
p,
ul,
ol,
dl,
dd {
  margin: 0;
  padding: 0;
}

h2,
h3 {
  font-weight: 600;
}

ul,
ol {
  list-style: none;
}

pre {
  font-family: var(--mono);
  font-size: 0.93em;
}

:focus-visible {
  outline: 2px solid var(--accent);
  outline-offset: 2px;
  border-radius: var(--radius-small);
}
`;

// What a reader sees, in the language of the page: KD_TEXTS holds the translations by their English text.
export const t = (text) => globalThis.KD_TEXTS?.[text] ?? text;

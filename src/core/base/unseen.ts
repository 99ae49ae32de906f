/**
 * A character that is not seen where text is shown: control characters, marks of direction and of width none, separators of
 * lines. What joins letters within words (U+200C, U+200D) is none of them.
 */
export const unseen = "\\p{Cc}|(?![\\u200c\\u200d])\\p{Cf}|\\u2028|\\u2029";

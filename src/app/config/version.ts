/** Of this program, as `smalti --version` says. */
export const version = "0.1.0";

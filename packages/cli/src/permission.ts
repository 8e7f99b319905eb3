/** Permission bits as `rw`, `r-`, `-w` or `--`. */
export function permissionText(bits: number): string {
  return `${(bits & 4) === 0 ? '-' : 'r'}${(bits & 2) === 0 ? '-' : 'w'}`;
}

/**
 * Numbers for people: pure, short, and of steady width where they change often.
 */

const BYTE_UNITS = ['B', 'KB', 'MB', 'GB', 'TB', 'PB'] as const;
const MINUTE_S = 60;
const HOUR_S = 3600;
const DAY_S = 86400;

/** Three significant digits at most: `0 B`, `9.8 MB`, `142 MB`. Units are of 1024. */
export function formatBytes(bytes: number): string {
  let value = Math.max(0, bytes);
  let unit = 0;
  // 999.5 would be written as 1000: go on to the next unit before that.
  while (value >= 999.5 && unit < BYTE_UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit > 0 && value < 9.95 ? 1 : 0;
  return `${value.toFixed(digits)} ${BYTE_UNITS[unit] ?? ''}`;
}

/** `0.4 s`, `12 s`, `3:05`, `1:02:05`, `2 d 3 h`; in whole seconds only, if so wanted. */
export function formatDuration(seconds: number, isWhole = false): string {
  const value = Math.max(0, isWhole ? Math.floor(seconds) : seconds);
  if (value < 9.95 && !isWhole) {
    return `${value.toFixed(1)} s`;
  }
  const whole = value < MINUTE_S - 0.5 ? Math.round(value) : Math.floor(value + 0.5);
  if (whole < MINUTE_S) {
    return `${whole} s`;
  }
  if (whole >= DAY_S) {
    return `${Math.floor(whole / DAY_S)} d ${Math.floor((whole % DAY_S) / HOUR_S)} h`;
  }
  const two = (part: number) => String(part).padStart(2, '0');
  const minutes = Math.floor((whole % HOUR_S) / MINUTE_S);
  if (whole < HOUR_S) {
    return `${minutes}:${two(whole % MINUTE_S)}`;
  }
  return `${Math.floor(whole / HOUR_S)}:${two(minutes)}:${two(whole % MINUTE_S)}`;
}

/** `0`, `1,234`, `123k`, `4.5M`: five characters at most. */
export function formatCount(count: number): string {
  if (count < 100_000) {
    return String(Math.round(count)).replace(/(\d)(\d{3})$/, '$1,$2');
  }
  if (count < 999_500) {
    return `${Math.round(count / 1000)}k`;
  }
  const millions = count / 1_000_000;
  return `${millions.toFixed(millions < 99.95 ? 1 : 0)}M`;
}

/** `987`, `23.8k`, `4.5M`: where only the size of a number matters. */
export function formatRoughly(count: number): string {
  if (count < 1000) {
    return String(count);
  }
  if (count < 99_950) {
    return `${(count / 1000).toFixed(1)}k`;
  }
  return formatCount(count);
}

/** `0%`, `87%`, `400%`. */
export function formatPercent(percent: number): string {
  return `${Math.round(Math.max(0, percent))}%`;
}

/** An amount of a resource: at most two decimals, none that say nothing. */
export function formatQuantity(quantity: number): string {
  return String(Math.round(quantity * 100) / 100);
}

/** How full something is, between 0 and 1; 0 where there is nothing to fill. */
export function ratio(used: number, total: number): number {
  return total > 0 ? Math.min(1, Math.max(0, used / total)) : 0;
}

/** The name of a function without the functions that it was defined in. */
export function shortName(name: string): string {
  return name.split('<locals>.').pop() ?? name;
}

/** The name of a GPU without its maker: every one in a machine has the same. */
export function gpuName(name: string): string {
  return name.replace(/^(NVIDIA|AMD|Intel)\s+/, '');
}

// What JavaScript programs compute: calls, floats, strings and expressions, maps, sorting. Prints a name and ns for each.
const calls = (n = 30) => (n < 2 ? n : calls(n - 1) + calls(n - 2));

function floats() {
  let [x, y, vx, vy] = [1, 0, 0, 1];
  for (let n = 0; n < 3e6; n++) {
    const r = (x * x + y * y) ** 1.5;
    vx -= (x / r) * 0.001; vy -= (y / r) * 0.001;
    x += vx * 0.001; y += vy * 0.001;
  }
  return x;
}

function text() {
  const words = Array.from({ length: 1e5 }, (_, n) => `word${n % 997}`);
  const found = words.join(' ').match(/word(\d+)5\b/g);
  return JSON.parse(JSON.stringify({ found, words })).found.length;
}

function maps() {
  const counts = new Map();
  for (let n = 0; n < 1e6; n++) {
    const key = `${(n * 7919) % 10007}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts.size;
}

const sorting = () => Array.from({ length: 2e5 }, (_, n) => (n * 7919) % 100003).sort((a, b) => b - a)[0];

for (const measure of [calls, floats, text, maps, sorting]) {
  measure();
  const begun = process.hrtime.bigint();
  for (let n = 0; n < 3; n++) measure();
  console.log(`node-${measure.name} ${process.hrtime.bigint() - begun}`);
}

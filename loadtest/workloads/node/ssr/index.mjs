// Renders a shop's page on the server, from components (SeBS 110.dynamic-html in JavaScript). Check: the page has as many
// elements as goods, the prices add up, and no name becomes markup.
import { check, generator, handlerOf, sha256 } from "./workload.mjs";

const NAMES = ["Moss <green>", 'Pot "large"', "Rake & hoe", "Seeds of '42", "Lamp"];
const ENTITIES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

const escape = (text) => text.replace(/[&<>"']/g, (character) => ENTITIES[character]);

// An element as text; children are text that is escaped already, and attributes are not.
const element = (name, attributes, ...children) => {
  const written = Object.entries(attributes).map(([key, value]) => ` ${key}="${escape(String(value))}"`);
  return `<${name}${written.join("")}>${children.flat().join("")}</${name}>`;
};

const euros = (cents) => `${Math.trunc(cents / 100)}.${String(cents % 100).padStart(2, "0")}`;

const Stars = ({ count }) => element("span", { class: "stars", title: `${count} of 5` }, "★".repeat(count));

const Item = ({ id, name, cents, stars }) =>
  element("li", { id: `item-${id}`, class: id % 2 ? "odd" : "even", title: name }, [
    element("h2", {}, escape(name)),
    element("b", { class: "price" }, euros(cents)),
    Stars({ count: stars }),
    element("a", { href: `/item/${id}?name=${encodeURIComponent(name)}` }, "Buy"),
  ]);

const Page = ({ title, items }) => {
  const sum = items.reduce((total, { cents }) => total + cents, 0);
  const head = element("head", {}, element("title", {}, escape(title)));
  const list = element("ul", { class: "goods" }, items.map(Item));
  const body = element("body", {}, element("h1", {}, escape(title)), list, element("footer", {}, `All: ${euros(sum)}`));
  return `<!DOCTYPE html>${element("html", { lang: "en" }, head, body)}`;
};

const makeItems = (size, draw) =>
  Array.from({ length: size }, (_, id) => {
    const name = `${NAMES[draw(NAMES.length)]} ${draw(1000)}`;
    return { id, name, cents: 1 + draw(100_000), stars: draw(6) };
  });

const checkPage = (page, items) => {
  const count = (part) => page.split(part).length - 1;
  check(count("<li ") === items.length && count("</li>") === items.length, "the page has other items");
  check(count("<") === 2 * (7 + 5 * items.length) + 1, "the page has other elements");
  const prices = [...page.matchAll(/"price">(\d+)\.(\d\d)</g)].map(([, whole, cents]) => 100 * whole + Number(cents));
  check(prices.reduce((a, b) => a + b, 0) === items.reduce((a, { cents }) => a + cents, 0), "the prices do not add up");
};

const work = ({ size, seed }) => {
  const items = makeItems(size, generator(seed));
  const page = Page({ title: "Garden & <forest>", items });
  checkPage(page, items);
  return { items: size, bytes: Buffer.byteLength(page), sha256: sha256(page) };
};

export const handler = handlerOf("ssr-node", { size: [0, 20_000, 200], seed: [0, 2 ** 32 - 1, 1] }, work);

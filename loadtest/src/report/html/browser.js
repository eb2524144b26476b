// What a reader would stumble over, as a list of sentences.
(() => {
  const wrong = [];
  const say = (what, where) => wrong.push(what + ': ' + String(where).slice(0, 120));
  document.querySelectorAll('details').forEach(one => { one.open = true; });
  const page = document.documentElement;
  if (page.scrollWidth > innerWidth) say('the page scrolls sideways', page.scrollWidth + ' > ' + innerWidth);

  const parse = text => (text.match(/[\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const contrast = (one, other) => {
    const [low, high] = [light(parse(one)), light(parse(other))].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const [r, g, b, a] = parse(getComputedStyle(at).backgroundColor);
      if (r !== undefined && a !== 0) return `rgb(${r},${g},${b})`;
    }
    return 'rgb(255,255,255)';
  };
  const shown = element => element.getClientRects().length > 0;
  let texts = 0;
  for (const element of document.body.querySelectorAll('*')) {
    if (!shown(element)) continue;
    const style = getComputedStyle(element);
    if ([...element.childNodes].some(node => node.nodeType === 3 && node.data.trim())) {
      texts += 1;
      const colour = element.namespaceURI.endsWith('svg') ? style.fill : style.color;
      const ratio = contrast(colour, behind(element));
      if (ratio < 4.5) say('text of contrast ' + ratio.toFixed(2), element.textContent);
      if (parseFloat(style.fontSize) < 12 - 0.01) say('small text', element.textContent);
    }
    if (element.matches('.line')) {
      const ratio = contrast(style.stroke, behind(element));
      if (ratio < 3) say('a line of contrast ' + ratio.toFixed(2), element.getAttribute('class'));
    }
  }

  let plots = 0;
  for (const svg of document.querySelectorAll('svg.plot')) {
    if (!shown(svg)) continue;
    plots += 1;
    const title = svg.getAttribute('aria-label');
    const frame = svg.getBoundingClientRect();
    const boxes = [...svg.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()]);
    boxes.forEach(([text, box], at) => {
      if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1) {
        say('text outside of its plot', text + ' in ' + title);
      }
      for (const [other, beside] of boxes.slice(at + 1)) {
        const across = Math.min(box.right, beside.right) - Math.max(box.left, beside.left);
        const down = Math.min(box.bottom, beside.bottom) - Math.max(box.top, beside.top);
        if (across > 0.5 && down > 3) say('text on text', text + ' / ' + other + ' in ' + title);
      }
    });
  }
  const figures = document.querySelectorAll('figure').length;
  if (plots !== figures) say('plots are shown ' + plots + ' times', figures);
  if (texts < 20) say('there is hardly any text', texts);
  return wrong;
})()

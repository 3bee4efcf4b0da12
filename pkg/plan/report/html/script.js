'use strict';
(() => {
  const byId = (id) => document.getElementById(id);
  const root = document.documentElement;
  const body = document.body;
  const names = byId('cluster-names') ? Array.from(byId('cluster-names').options, (o) => o.value) : [];
  const regions = JSON.parse(body.dataset.regions || '[]');
  const items = Array.from(document.querySelectorAll('[data-c]'));
  const form = byId('filters');
  const search = byId('search');
  const cluster = byId('cluster');
  const region = byId('region');
  const severity = byId('severity');
  const indexOf = new Map(names.map((name, i) => [name, i]));

  // Lists of clusters are written as ranges of their numbers: 0-3,7.
  const sets = new Map();
  const setOf = (text) => {
    let set = sets.get(text);
    if (!set) {
      set = new Set();
      for (const part of text ? text.split(',') : []) {
        const [from, to] = part.split('-').map(Number);
        for (let i = from; i <= (to === undefined ? from : to); i++) set.add(i);
      }
      sets.set(text, set);
    }
    return set;
  };

  const wanted = () => {
    const typed = cluster.value.trim().toLowerCase();
    if (!typed && !region.value) return null;
    const exact = indexOf.get(cluster.value.trim());
    const set = new Set();
    names.forEach((name, i) => {
      if (region.value && regions[i] !== region.value) return;
      if (typed && exact !== undefined ? i !== exact : typed && !name.toLowerCase().includes(typed)) return;
      set.add(i);
    });
    return set;
  };

  const texts = new Map();
  const textOf = (item) => {
    let text = texts.get(item);
    if (text === undefined) {
      text = item.textContent.toLowerCase();
      texts.set(item, text);
    }
    return text;
  };

  const meets = (item, set) => {
    if (!set) return true;
    if (item.dataset.c === '*') return true;
    for (const i of setOf(item.dataset.c)) if (set.has(i)) return true;
    return false;
  };

  // The filter stands in the address, so that it can be shared and survives a reload.
  const fields = { q: search, cluster, region, severity };
  const remember = () => {
    const state = new URLSearchParams();
    for (const [key, field] of Object.entries(fields)) if (field.value && field.value !== '0') state.set(key, field.value);
    const hash = state.toString();
    if (hash !== location.hash.slice(1)) {
      try { history.replaceState(null, '', hash ? `#${hash}` : location.pathname + location.search); } catch { /* Not from a file. */ }
    }
  };
  const recall = () => {
    const state = new URLSearchParams(location.hash.slice(1));
    for (const [key, field] of Object.entries(fields)) if (state.has(key)) field.value = state.get(key);
    if (!severity.value) severity.value = '0';
  };

  const apply = () => {
    const set = wanted();
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const least = Number(severity.value);
    let shown = 0;
    let total = 0;
    for (const item of items) {
      if (item.tagName === 'TR') {
        item.hidden = !meets(item, set);
        continue;
      }
      total++;
      const visible = meets(item, set) && Number(item.dataset.s) >= least && words.every((w) => textOf(item).includes(w));
      item.hidden = !visible;
      if (visible) shown++;
    }
    for (const section of document.querySelectorAll('main section[data-list]')) {
      const any = Array.from(section.querySelectorAll('.item')).some((item) => !item.hidden);
      section.querySelector('.empty').hidden = any;
    }
    for (const sq of document.querySelectorAll('.sq')) {
      sq.setAttribute('aria-pressed', String(cluster.value === names[Number(sq.dataset.i)]));
    }
    const filtered = set || words.length || least;
    byId('tally').textContent = filtered ? `${shown} of ${total} shown` : `${total} entries`;
    byId('clear').hidden = !filtered;
    remember();
  };

  let pending = 0;
  const soon = () => {
    cancelAnimationFrame(pending);
    pending = requestAnimationFrame(apply);
  };
  form.addEventListener('input', soon);
  form.addEventListener('submit', (event) => event.preventDefault());
  byId('clear').addEventListener('click', () => {
    form.reset();
    apply();
    search.focus();
  });

  document.querySelector('.fleet')?.addEventListener('click', (event) => {
    const sq = event.target.closest('.sq');
    if (!sq) return;
    const name = names[Number(sq.dataset.i)];
    cluster.value = cluster.value === name ? '' : name;
    apply();
  });
  // The squares are one stop of the Tab key; arrows go from one to the next.
  document.querySelector('.fleet')?.addEventListener('keydown', (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const sq = event.target.closest('.sq');
    if (!step || !sq) return;
    event.preventDefault();
    const all = Array.from(document.querySelectorAll('.sq'));
    const next = all[(all.indexOf(sq) + step + all.length) % all.length];
    sq.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });

  const fold = (open) => document.querySelectorAll('details.item').forEach((d) => { d.open = open; });
  byId('expand').addEventListener('click', () => fold(true));
  byId('collapse').addEventListener('click', () => fold(false));

  const store = (key, value) => {
    try { localStorage.setItem(key, value); } catch { /* A page from a file may not keep anything. */ }
  };
  const stored = (key) => {
    try { return localStorage.getItem(key); } catch { return null; }
  };

  const sideBySide = byId('side');
  const setSide = (on) => {
    body.classList.toggle('side', on);
    sideBySide.setAttribute('aria-pressed', String(on));
  };
  sideBySide.addEventListener('click', () => {
    const on = !body.classList.contains('side');
    setSide(on);
    store('armada-preview-side', on ? '1' : '0');
  });
  setSide((stored('armada-preview-side') ?? '1') === '1');

  const theme = byId('theme');
  const dark = () => (root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches);
  const label = () => { theme.textContent = dark() ? 'Light' : 'Dark'; };
  if (['light', 'dark'].includes(stored('armada-preview-theme'))) root.dataset.theme = stored('armada-preview-theme');
  theme.addEventListener('click', () => {
    root.dataset.theme = dark() ? 'light' : 'dark';
    store('armada-preview-theme', root.dataset.theme);
    label();
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', label);
  label();

  document.addEventListener('keydown', (event) => {
    if (event.key === '/' && !/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) {
      event.preventDefault();
      search.focus();
    }
    if (event.key === 'Escape' && event.target === search) {
      search.value = '';
      apply();
    }
  });

  document.querySelectorAll('.needs-script').forEach((e) => { e.hidden = false; });
  window.addEventListener('hashchange', () => {
    recall();
    apply();
  });
  recall();
  apply();
})();

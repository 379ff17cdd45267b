// Functions and elements that page.js defines, such as `at` and `make`, are used here too.

const FILTERS = ["label", "split", "issue"];
const LARGE = 1200;  // pixels per side of the image to review
const MOST_KEYS = 9;  // classes that have a digit
const MOST_MEMBERS = 14;  // images of a group that are shown
const ACTIONS = [["k", "keep"], ["a", "accept"], ["r", "pick"], ["x", "exclude"], ["s", "skip"], ["u", "undo"]];
let review = null;  // of the server: classes, filters, notes, author and file
let found = null;  // the response with the image that is shown
let written = [];  // what undo can remove: the decisions of one key, and the position of their image
let busy = false;  // keys are ignored until the next image is shown
let requested = 0;  // number of images requested, to ignore the response of an earlier filter

function say(text, failed = false) {
  at("message").textContent = text;
  at("message").classList.toggle("failed", failed);
}

// Return the JSON of a response; after an error, say so and return null.
async function request(address, body) {
  const options = body && { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  try {
    const response = await fetch(address, options);
    const value = await response.json();
    if (response.ok) return value;
    const failure = body ? "Not saved" : "The next image cannot be loaded";
    say(`${failure}. ${typeof value.detail === "string" ? value.detail : "The request is invalid."}`, true);
    return response.status === 409 ? { conflict: value.detail } : null;
  } catch (error) {
    say(body ? "Not saved: the server cannot be reached. Start it again, then press the key again."
      : "The server cannot be reached. Start it again, then reload the page.", true);
    return null;
  }
}

function picture(id, side, alt) {
  const image = make("img", "");
  image.src = `review/images/${id}?side=${side}`;
  image.alt = alt;
  return image;
}

function neighbours(label, ids) {
  const block = make("section", "");
  const images = make("div", "");
  const names = ids.split(" ").filter(Boolean);
  images.append(...names.map((id) => picture(id, 320, `Image labelled ${label}`)));
  block.append(make("h2", "", `Nearest images labelled ${label}${names.length ? "" : ": none"}`), images);
  return block;
}

function key(name, text, action) {
  const button = make("button", "");
  button.type = "button";
  if (name) button.append(make("kbd", "", name), " ");
  button.append(text);
  button.addEventListener("click", action);
  return button;
}

function caption(action) {
  const { label, suggested } = found.image || {};
  const texts = { keep: `keep ${label}`, accept: `relabel to ${suggested}`, pick: "other class …", exclude: "exclude" };
  return texts[action] || action;
}

function isOffered(action) {
  if (action === "undo") return written.length > 0;
  return found.image && (action !== "accept" || found.image.suggested !== found.image.label);
}

function showActions() {
  const offered = ACTIONS.filter(([, action]) => isOffered(action));
  at("actions").replaceChildren(...offered.map(([name, action]) => key(name, caption(action), () => act(action))));
  const classes = found.image && review.classes.length <= MOST_KEYS ? review.classes : [];
  at("classes-by-key").replaceChildren(...classes.map((name, index) => key(index + 1, name, () => decide("relabel", name))));
}

function show() {
  const { image, members, agrees, decided, left, skipped } = found;
  at("done").max = Math.max(1, decided + left);
  at("done").value = decided;
  at("counts").textContent = `${decided} of ${decided + left} decided`;
  at("case").hidden = !image;
  at("group").hidden = !image || !members.length;
  at("left").hidden = Boolean(image);
  at("again").hidden = !skipped;
  at("left-text").textContent = skipped ? `${skipped} skipped.` : "Nothing is left to review.";
  if (image) {
    at("suspect").src = `review/images/${image.image_id}?side=${LARGE}`;
    at("given").textContent = image.suggested === image.label ? `Label: ${image.label}.`
      : `Label: ${image.label}. Probably wrong (${percent(image.probability)}), ${image.suggested} fits better.`;
    at("evidence").textContent = image.evidence;
    at("path").textContent = `${image.path} (${image.split})`;
    const blocks = [neighbours(image.label, image.nearest_label)];
    if (image.suggested !== image.label) blocks.push(neighbours(image.suggested, image.nearest_suggested));
    at("nearest").replaceChildren(...blocks);
    at("whole").checked = agrees;
    at("group-text").textContent = `Decide also the other ${members.length} of group ${image.group}`;
    at("members").replaceChildren(...members.slice(0, MOST_MEMBERS).map((id) => picture(id, 96, "Image of the group")));
  }
  showActions();
}

async function load(start) {
  const chosen = FILTERS.map((name) => [name, at(`filter-${name}`).value]).filter(([, value]) => value);
  const number = ++requested;
  busy = true;
  const response = await request(`review/next?${new URLSearchParams([["start", start], ...chosen])}`);
  if (response?.image) {
    await picture(response.image.image_id, LARGE, "").decode().catch(() => {});  // an image that cannot be read may be decided
  }
  if (number !== requested) return null;
  if (response) {
    found = response;
    closePick();
    show();
  }
  busy = false;
  return response;
}

// Show the image at a position, or the next one; say what was done before the next key is accepted.
async function proceed(position, done) {
  if (await load(position) && done) say(done);
}

async function decide(action, label = "") {
  const { image, members, position } = found;
  if (!image || busy) return;
  busy = true;
  const ids = [image.image_id, ...(at("whole").checked ? members : [])];
  const response = await request("review/decisions", { action, image_ids: ids, label });
  let done = "";
  if (Array.isArray(response)) {
    const [first] = response;
    const words = first.exclude ? "excluded" : first.keep ? `kept as ${first.label}` : `relabelled to ${first.label}`;
    done = `${image.path}: ${words}${response.length > 1 ? `, with ${response.length - 1} more of the group` : ""}`;
    written.push({ decisions: response, position });
  }
  if (response) await proceed(position, done);
  busy = false;
}

async function undo() {
  if (!written.length || busy) return;
  busy = true;
  const last = written.at(-1);
  const removed = await request("review/undo", last.decisions);
  if (removed !== null) {
    written.pop();
    await proceed(last.position, removed ? "The last decision is undone." : "The decision is no longer in the file.");
  }
  busy = false;
}

async function skip() {
  if (!found.image || busy) return;
  busy = true;
  await proceed(found.position + 1, "Skipped.");
  busy = false;
}

function matches() {
  const text = at("wanted").value.trim().toLowerCase();
  const places = review.classes.map((name) => [name.toLowerCase().indexOf(text), name]);
  return places.filter(([place]) => place >= 0).sort(([one], [other]) => (one > 0) - (other > 0)).map(([, name]) => name);
}

function showMatches() {
  at("matches").replaceChildren(...matches().slice(0, MOST_KEYS).map((name) => key("", name, () => decide("relabel", name))));
}

function openPick() {
  at("pick").hidden = false;
  at("wanted").value = "";
  at("wanted").focus();
  showMatches();
}

function closePick() {
  at("pick").hidden = true;
  at("wanted").blur();
}

function act(action) {
  if (busy || !isOffered(action)) return;
  if (action === "accept") decide("relabel", found.image.suggested);
  else if (action === "pick") openPick();
  else if (action === "skip") skip();
  else if (action === "undo") undo();
  else decide(action);
}

function press(event) {
  const typing = event.target === at("wanted") || event.target.tagName === "SELECT";
  if (event.key === "Escape") closePick();
  if (at("review").hidden || !found || typing || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  const [, action] = ACTIONS.find(([name]) => name === event.key.toLowerCase()) || [];
  const digit = review.classes.length <= MOST_KEYS ? review.classes[Number(event.key) - 1] : undefined;
  if (action || digit !== undefined) event.preventDefault();  // so that r does not type into the field that it opens
  if (action) act(action);
  else if (digit !== undefined) decide("relabel", digit);
  else if (event.key === "g" && !at("group").hidden) at("whole").checked = !at("whole").checked;
}

async function openReview() {
  const response = await fetch("review");
  const facts = await response.json();
  at("review-notes").textContent = facts.missing ?? facts.notes.join(" ");
  if (facts.missing) return;
  review = facts;
  at("who").textContent = facts.who;
  at("file").textContent = facts.file;
  for (const name of FILTERS) {
    const options = ["", ...facts.filters[name]].map((value) => new Option(value || "all", value));
    at(`filter-${name}`).replaceChildren(...options);
    at(`filter-${name}`).addEventListener("change", (event) => {
      event.target.blur();  // so that the next key decides
      load(0);
    });
  }
  at("desk").hidden = false;
  await load(0);
}

function openTab() {
  const reviews = location.hash === "#review";
  at("try").hidden = reviews;
  at("review").hidden = !reviews;
  for (const link of document.querySelectorAll("nav a")) {
    if ((link.hash === "#review") === reviews) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

at("wanted").addEventListener("input", showMatches);
at("pick").addEventListener("submit", (event) => {
  event.preventDefault();
  const [first] = matches();
  if (first !== undefined && at("wanted").value.trim()) decide("relabel", first);
});
at("again").addEventListener("click", () => load(0));
document.addEventListener("keydown", press);
window.addEventListener("hashchange", openTab);
openTab();
openReview();

// New blocks appear at the top of the table; without this script the page shows the blocks it was loaded with.
const rows = document.querySelector("#blocks tbody");
if (rows && "EventSource" in window) {
  const cell = (text, kind) => {
    const td = document.createElement("td");
    if (kind) td.className = kind;
    td.textContent = text;
    return td;
  };
  const link = (href, text, kind) => {
    const td = cell("", kind);
    const a = document.createElement("a");
    a.href = href;
    a.textContent = text;
    td.append(a);
    return td;
  };
  new EventSource("/live").onmessage = (message) => {
    const block = JSON.parse(message.data);
    const row = document.createElement("tr");
    row.className = "fresh";
    row.append(
      link(`/block/${block.number}`, block.number),
      cell(block.time, "time"),
      link(`/block/${block.hash}`, block.shortHash, "hash"),
      cell(block.transactions, "number"),
      cell(block.gasUsed, "number"),
    );
    rows.prepend(row);
    while (rows.children.length > 12) rows.lastElementChild.remove();
    const height = document.querySelector("#height");
    if (height) height.textContent = Number(block.number).toLocaleString("en-US");
  };
}

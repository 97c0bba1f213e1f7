// The top-up form: one amount at a time, named on the button; one payment for one press.
"use strict";
(() => {
  const form = document.querySelector("form.topup");
  if (!form) return;
  const own = form.elements.amount;
  const button = form.querySelector(".pay");
  const fee = document.getElementById("fee");
  const quick = () => form.querySelector('input[name="quick"]:checked');

  // What the server will read in it; empty where it will ask again. See dashboards/tenant/amount.py.
  function readable(typed) {
    const text = typed.normalize("NFKC").replaceAll("。", ".").trim();
    const found = /^¥?\s*((?:\d+|\d{1,3}(?:,\d{3})+)(?:\.\d{0,2})?)\s*(?:元|块|yuan|rmb)?$/i.exec(text);
    const amount = found ? Number(found[1].replaceAll(",", "")) : 0;
    return amount > 0 && amount <= Number(button.dataset.most) ? found[1] : "";
  }

  const yuan = (fen) => `${Math.floor(fen / 100)}.${String(fen % 100).padStart(2, "0")}`;
  const plain = fee ? fee.textContent : "";

  // What of it is the service fee, rounded down to a fen as cloud/services/money/rules.py does.
  function split(amount) {
    if (!fee) return;
    const [whole, part = ""] = amount.replaceAll(",", "").split(".");
    const paid = Number(whole) * 100 + Number(part.padEnd(2, "0"));
    const kept = Math.floor((paid * Number(fee.dataset.basisPoints)) / 10000);
    const values = { paid: yuan(paid), fee: yuan(kept), credit: yuan(paid - kept) };
    fee.textContent = amount ? fee.dataset.said.replace(/\{(\w+)\}/g, (_, key) => values[key]) : plain;
  }

  function name() {
    const amount = readable(own.value.trim() || quick()?.value || "");
    button.textContent = amount ? `${button.dataset.pay} ¥${amount}` : button.dataset.pay;
    split(amount);
  }

  form.addEventListener("change", (event) => {
    if (event.target.name === "quick") own.value = "";
    name();
  });
  own.addEventListener("input", () => {
    const chosen = quick();
    if (chosen && own.value.trim()) chosen.checked = false;
    name();
  });
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "yes";
    button.setAttribute("aria-disabled", "true");
    button.classList.add("weui-btn_disabled");
    button.textContent = button.dataset.busy;
  });
  document.getElementById("error")?.scrollIntoView({ block: "center" });
  name();
  // A browser may put back what was chosen when one left the page, after scripts have run.
  addEventListener("pageshow", name);
})();

// The top-up form: one amount at a time, named on the button; one payment for one press.
"use strict";
(() => {
  const form = document.querySelector("form.topup");
  if (!form) return;
  const own = form.elements.amount;
  const button = form.querySelector(".pay");
  const quick = () => form.querySelector('input[name="quick"]:checked');

  function name() {
    const amount = own.value.trim() || quick()?.value || "";
    button.textContent = amount ? `${button.dataset.pay} ¥${amount.replace(/^[¥￥]\s*/, "")}` : button.dataset.pay;
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
})();

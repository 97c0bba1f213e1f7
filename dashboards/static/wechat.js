// Inside WeChat: the pay sheet opens by itself, and again when the button is pressed.
"use strict";
(() => {
  const button = document.getElementById("bridge");
  if (!button) return;
  const said = document.getElementById("bridge-said");

  function pay() {
    said.hidden = true;
    const { appId, timeStamp, nonceStr, signType, paySign } = button.dataset;
    const order = { appId, timeStamp, nonceStr, package: button.dataset.package, signType, paySign };
    // Whether it was paid is told by the server, not here: the answer may be lost, or not true.
    window.WeixinJSBridge.invoke("getBrandWCPayRequest", order, (answer) => {
      if (answer.err_msg === "get_brand_wcpay_request:fail") said.hidden = false;
    });
  }

  button.addEventListener("click", pay);
  if (window.WeixinJSBridge) pay();
  else document.addEventListener("WeixinJSBridgeReady", pay, { once: true });
})();

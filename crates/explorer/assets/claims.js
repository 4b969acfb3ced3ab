// Sends a page's claims through a wallet in the browser (EIP-1193), one after the other. The server prepared what is sent; the wallet shows and signs it.
const claim = document.querySelector("#claim");
const wallet = window.ethereum;
if (claim && wallet) {
  const button = claim.querySelector("button");
  const said = claim.querySelector("[role=status]");
  const steps = JSON.parse(claim.dataset.steps);
  const chain = claim.dataset.chain;
  const POLLS_MAX = 240;
  const ask = (method, params = []) => wallet.request({ method, params });
  const mined = async (hash) => {
    for (let poll = 0; poll < POLLS_MAX; poll++) {
      const receipt = await ask("eth_getTransactionReceipt", [hash]);
      if (receipt) return receipt;
      await new Promise((done) => setTimeout(done, 500));
    }
    throw new Error(`no block holds ${hash} yet: reload this page later`);
  };
  const send = async () => {
    const [from] = await ask("eth_requestAccounts");
    if (BigInt(await ask("eth_chainId")) !== BigInt(chain)) {
      await ask("wallet_switchEthereumChain", [{ chainId: chain }]);
    }
    for (const [index, { what, to, data }] of steps.entries()) {
      said.textContent = `${index + 1} of ${steps.length}: ${what}; confirm it in your wallet`;
      const hash = await ask("eth_sendTransaction", [{ from, to, data }]);
      said.textContent = `${index + 1} of ${steps.length}: ${what}; waiting for a block`;
      const { status } = await mined(hash);
      if (BigInt(status) !== 1n) throw new Error(`the ledger refused to ${what} (transaction ${hash})`);
    }
  };
  said.textContent = `${steps.length} transaction${steps.length === 1 ? "" : "s"} to confirm in your wallet.`;
  button.hidden = false;
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await send();
      said.textContent = "Paid.";
      setTimeout(() => location.reload(), 1000);
    } catch (error) {
      // 4001: the user said no.
      said.textContent = error.code === 4001 ? "Not sent: the wallet was told not to." : `Not paid: ${error.message}`;
      button.disabled = false;
    }
  });
}

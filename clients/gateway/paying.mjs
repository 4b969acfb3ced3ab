// @x402/fetch as the quick-start tells users to set it up.

import { toClientEvmSigner } from "@x402/evm";
import { BatchSettlementEvmScheme } from "@x402/evm/batch-settlement/client";
import { wrapFetchWithPayment, x402Client } from "@x402/fetch";
import { createPublicClient, http } from "viem";
import { privateKeyToAccount } from "viem/accounts";

const TOKEN = "0x4f50454e00000000000000000000000000000001";
/** Stock clients pay in assets that they were told of, up to an amount each. */
const MOST = (10n ** 18n).toString();

/** The payer of a scene, able to sign and to read the ledger. */
export function signerOf({ rpc, chainId, payer }) {
  const nativeCurrency = { name: "OPEN", symbol: "OPEN", decimals: 18 };
  const chain = { id: chainId, name: "development", nativeCurrency, rpcUrls: { default: { http: [rpc] } } };
  return toClientEvmSigner(privateKeyToAccount(payer), createPublicClient({ chain, transport: http(rpc) }));
}

/** A fetch that pays by `scheme`; by a new channel when none is given. */
export function paying(scene, scheme = new BatchSettlementEvmScheme(signerOf(scene), { salt: newSalt() })) {
  const network = `eip155:${scene.chainId}`;
  const client = new x402Client().register(network, scheme);
  client.setSpendControls({ allowedAssets: [{ network, asset: TOKEN, maxAmountPerPayment: MOST }] });
  return wrapFetchWithPayment(fetch, client);
}

/** Tells this run's channel from those of other runs. */
export const newSalt = () => `0x${crypto.randomUUID().replaceAll("-", "").padStart(64, "0")}`;

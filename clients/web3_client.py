"""web3.py, unmodified. Run by `run.mjs`; exits non-zero when something differs."""

import asyncio
import os
import sys
import time

from eth_account import Account
from web3 import AsyncWeb3, Web3, WebSocketProvider
from web3.exceptions import ContractCustomError

RPC = os.environ.get("OPENLEDGER_RPC_URL", "http://127.0.0.1:8545")
CHAIN_ID = int(os.environ.get("OPENLEDGER_CHAIN_ID", "31337"))
MNEMONIC = "test test test test test test test test test test test junk"
TOKEN = Web3.to_checksum_address("0x4f50454e00000000000000000000000000000001")


def function(name, inputs, outputs, mutability="nonpayable"):
    """One function of an ABI; arguments as (name, type)."""
    listed = lambda pairs: [{"name": n, "type": t} for n, t in pairs]
    return {"type": "function", "name": name, "inputs": listed(inputs), "outputs": listed(outputs), "stateMutability": mutability}


PERMIT_ARGUMENTS = [
    ("owner", "address"), ("spender", "address"), ("value", "uint256"), ("deadline", "uint256"), ("v", "uint8"), ("r", "bytes32"), ("s", "bytes32"),
]
ABI = [
    function("symbol", [], [("", "string")], "view"),
    function("balanceOf", [("account", "address")], [("", "uint256")], "view"),
    function("transfer", [("to", "address"), ("value", "uint256")], [("", "bool")]),
    function("nonces", [("owner", "address")], [("", "uint256")], "view"),
    function("allowance", [("owner", "address"), ("spender", "address")], [("", "uint256")], "view"),
    function("permit", PERMIT_ARGUMENTS, []),
    {
        "type": "event",
        "name": "Transfer",
        "anonymous": False,
        "inputs": [
            {"name": "from", "type": "address", "indexed": True},
            {"name": "to", "type": "address", "indexed": True},
            {"name": "value", "type": "uint256", "indexed": False},
        ],
    },
]


def account(index):
    Account.enable_unaudited_hdwallet_features()
    return Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}")


def send(w3, sender, transaction):
    """Fills in, signs and sends; the receipt."""
    transaction = {"chainId": CHAIN_ID, "nonce": w3.eth.get_transaction_count(sender.address), **transaction}
    raw = sender.sign_transaction(transaction).raw_transaction
    return w3.eth.wait_for_transaction_receipt(w3.eth.send_raw_transaction(raw), poll_latency=0.1)


def the_node_tells_its_chain_and_its_head(w3):
    assert w3.is_connected()
    assert w3.eth.chain_id == CHAIN_ID
    assert w3.eth.get_block("latest")["timestamp"] > time.time() - 3600


def a_transfer_moves_open_and_has_a_receipt(w3):
    sender, to = account(9), Web3.to_checksum_address("0x" + "9e" * 20)
    before = w3.eth.get_balance(to)
    fees = {"maxFeePerGas": 2 * w3.eth.gas_price + 10**9, "maxPriorityFeePerGas": 0}
    receipt = send(w3, sender, {"to": to, "value": 5, "gas": 21_000, **fees})
    assert receipt["status"] == 1 and receipt["gasUsed"] == 21_000
    assert w3.eth.get_balance(to) == before + 5


def an_erc20_transfer_has_its_log(w3):
    token, sender = w3.eth.contract(address=TOKEN, abi=ABI), account(9)
    to = account(8).address
    assert token.functions.symbol().call() == "OPEN"
    call = token.functions.transfer(to, 29)
    filled = call.build_transaction({"from": sender.address, "chainId": CHAIN_ID, "nonce": w3.eth.get_transaction_count(sender.address)})
    receipt = send(w3, sender, filled)
    (event,) = token.events.Transfer().process_receipt(receipt)
    assert (event["args"]["to"], event["args"]["value"]) == (to, 29)
    found = token.events.Transfer().get_logs(from_block=receipt["blockNumber"], argument_filters={"from": sender.address})
    assert any(log["transactionHash"] == receipt["transactionHash"] for log in found)


def a_refused_call_carries_the_custom_error(w3):
    token = w3.eth.contract(address=TOKEN, abi=ABI)
    try:
        token.functions.transfer(account(8).address, 1).call({"from": account(9_994).address})
    except ContractCustomError as error:
        assert error.data.startswith("0xe450d38c"), error.data
        return
    raise AssertionError("accepted")


def a_permit_signed_by_eth_account_becomes_an_allowance(w3):
    token, owner, spender = w3.eth.contract(address=TOKEN, abi=ABI), account(9), account(8).address
    message = {
        "owner": owner.address,
        "spender": spender,
        "value": 31,
        "nonce": token.functions.nonces(owner.address).call(),
        "deadline": int(time.time()) + 3600,
    }
    types = {"Permit": [{"name": name, "type": "address" if name in ("owner", "spender") else "uint256"} for name in message]}
    domain = {"name": "OpenLedger", "version": "1", "chainId": CHAIN_ID, "verifyingContract": TOKEN}
    signed = Account.sign_typed_data(owner.key, domain, types, message)
    words = [signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big")]
    call = token.functions.permit(owner.address, spender, 31, message["deadline"], signed.v, *words)
    filled = call.build_transaction({"from": owner.address, "chainId": CHAIN_ID, "nonce": w3.eth.get_transaction_count(owner.address)})
    assert send(w3, owner, filled)["status"] == 1
    assert token.functions.allowance(owner.address, spender).call() == 31


def subscriptions_bring_heads_and_logs(w3):
    token, sender = w3.eth.contract(address=TOKEN, abi=ABI), account(9)

    async def listen():
        async with AsyncWeb3(WebSocketProvider(RPC.replace("http", "ws", 1))) as socket:
            heads = await socket.eth.subscribe("newHeads")
            logs = await socket.eth.subscribe("logs", {"address": TOKEN})
            call = token.functions.transfer(account(8).address, 37)
            filled = call.build_transaction({"from": sender.address, "chainId": CHAIN_ID, "nonce": w3.eth.get_transaction_count(sender.address)})
            receipt = await asyncio.to_thread(send, w3, sender, filled)
            seen = set()
            async for message in socket.socket.process_subscriptions():
                result = message["result"]
                if message["subscription"] == heads and result["number"] >= receipt["blockNumber"]:
                    seen.add("head")
                if message["subscription"] == logs and result["transactionHash"] == receipt["transactionHash"]:
                    seen.add("log")
                if len(seen) == 2:
                    return

    asyncio.run(asyncio.wait_for(listen(), 30))


def main():
    w3 = Web3(Web3.HTTPProvider(RPC))
    failed = 0
    for check in [
        the_node_tells_its_chain_and_its_head,
        a_transfer_moves_open_and_has_a_receipt,
        an_erc20_transfer_has_its_log,
        a_refused_call_carries_the_custom_error,
        a_permit_signed_by_eth_account_becomes_an_allowance,
        subscriptions_bring_heads_and_logs,
    ]:
        try:
            check(w3)
            print("ok  ", check.__name__.replace("_", " "))
        except Exception as error:  # noqa: BLE001 - every failure is reported and counted
            failed += 1
            print("FAIL", check.__name__.replace("_", " "), repr(error))
    sys.exit(1 if failed else 0)


main()

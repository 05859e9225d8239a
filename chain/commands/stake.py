"""Bond stake, unbond it, withdraw what is free again, have rewards paid out, and show it all.

assay stake bond 5000 --key //Dave     lock 5,000 ASY up; again, to add to them
assay stake unbond 300 --key //Dave    begin to free 300 ASY; `all` frees everything
assay stake withdraw --key //Dave      take what is free by now
assay stake payout 5Grwva...utQY --key //Dave
                                       pay a validator and who backs it for the eras that are over: anybody
                                       may; what nobody asks for during HistoryDepth eras is lost
assay stake show 5Grwva...utQY         what an account has at stake; with --key, its own

Bonded stake earns nothing by itself: validate with it, or back validators with `assay nominate`.
"""

import argparse
import json
from collections import deque
from dataclasses import dataclass
from typing import Any

from chain.amounts import asy
from chain.client import Chain, Head, Receipt, Refused
from chain.commands.failure import USAGE, Failure
from chain.commands.talk import (
    address,
    describe_key,
    describe_node,
    looking,
    planck,
    show,
    signing,
    talk,
)

REWARDS = {"staked": "Staked", "stash": "Stash", "none": "None"}
"""Where rewards go, by the words of --rewards."""
BATCH = 8
"""payouts in a transaction, well within a block"""


@dataclass(frozen=True, slots=True)
class Stake:
    """What an account has at stake; amounts are planck."""

    account: str
    free: int  # bonded ones included
    spendable: int
    bonded: int  # what is unlocking included
    active: int
    unlocking: list[dict[str, int]]  # {"value", "era"}: free once that era is active
    withdrawable: int
    role: str  # "validator", "nominator" or "none"
    commission_ppb: int | None
    nominates: list[str]
    rewards: str
    backing: int  # what stands behind it as a validator in the active era
    era: int


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the verbs and their flags."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    bond = verbs.add_parser("bond", help="lock ASY up as stake, or add to it")
    bond.add_argument("amount", metavar="ASY", help="how much")
    bond.add_argument(
        "--rewards",
        choices=sorted(REWARDS),
        default="staked",
        help="where rewards go at the first bond [staked]",
    )
    unbond = verbs.add_parser("unbond", help="begin to free stake")
    unbond.add_argument("amount", metavar="ASY|all", help="how much")
    withdraw = verbs.add_parser("withdraw", help="take what is free again")
    payout = verbs.add_parser("payout", help="have the rewards of past eras paid out")
    payout.add_argument("validator", metavar="ADDRESS", help="stash of the validator")
    look = verbs.add_parser("show", help="show what an account has at stake")
    look.add_argument("account", metavar="ADDRESS", nargs="?", help="[that of the key]")
    for verb in (bond, unbond, withdraw, payout, look):
        describe_node(verb, netuid=False)
        describe_key(verb, "the stash", required=verb is not look)


def run(parsed: argparse.Namespace) -> int:
    """Do what the verb says."""
    if parsed.verb == "show":
        found = talk(_show(parsed))
        show(json.dumps(_json(found)) if parsed.json else _text(found))
        return 0
    if parsed.verb == "payout":
        talk(_pay(parsed, address(parsed.validator, "the validator")))
        return 0
    amount = None
    if parsed.verb != "withdraw" and parsed.amount != "all":
        amount = planck(parsed.amount, "the amount")
    if amount == 0 or (parsed.verb == "bond" and amount is None):
        raise Failure(f"the amount is {parsed.amount}, must be above 0 ASY", USAGE)
    done, block, text = talk(_change(parsed, amount))
    shown = {"event": done[0], "amount": str(done[1]), "block": block.number}
    print(json.dumps(shown) if parsed.json else f"{text}, block #{block.number}")
    return 0


async def _change(parsed: argparse.Namespace, amount: int | None) -> tuple[tuple[str, int], Head, str]:
    """Bond, unbond or withdraw; return the event with its amount, where it happened, and both in words."""
    async with signing(parsed) as chain:
        now = await stake_of(chain, chain.address)
        arguments: dict[str, Any]
        match parsed.verb:
            case "bond" if now.bonded:
                call, arguments, event = "Staking.bond_extra", {"max_additional": amount}, "Staking.Bonded"
            case "bond":
                call, event = "Staking.bond", "Staking.Bonded"
                arguments = {"value": amount, "payee": REWARDS[parsed.rewards]}
            case "unbond":
                call, event = "Staking.unbond", "Staking.Unbonded"
                arguments = {"value": now.active if amount is None else amount}
            case _:
                _ensure_withdrawable(now)
                call, arguments, event = (
                    "Staking.withdraw_unbonded", {"num_slashing_spans": 0}, "Staking.Withdrawn",
                )  # fmt: skip
        await chain.check(call, **arguments)
        receipt = await chain.submit(call, **arguments)
        made = sum(values["amount"] for name, values in receipt.events if name == event)
        after = await stake_of(chain, chain.address, receipt.block)
        return (event, made), receipt.block, _said(parsed.verb, made, after)


def _said(verb: str, made: int, after: Stake) -> str:
    match verb:
        case "bond":
            return f"bonded {asy(made)} ASY, {asy(after.active)} ASY are at stake"
        case "unbond":
            when = max((each["era"] for each in after.unlocking), default=after.era)
            return (
                f"unbonding {asy(made)} ASY, free in era {when} (it is era {after.era}): then "
                "`assay stake withdraw`"
            )
    return f"withdrew {asy(made)} ASY, {asy(after.bonded)} ASY stay bonded"


def _ensure_withdrawable(now: Stake) -> None:
    if now.bonded and not now.withdrawable:
        when = [f"{asy(each['value'])} ASY in era {each['era']}" for each in now.unlocking]
        why = ", ".join(when) if when else "nothing is unlocking; `assay stake unbond` begins it"
        raise Failure(f"nothing is free yet (it is era {now.era}): {why}")


async def _pay(parsed: argparse.Namespace, validator: str) -> None:
    """Have what is unclaimed of a validator's eras paid out, oldest first; says so of each as it is final."""
    async with signing(parsed) as chain:
        ended = deque(sorted(era for era, _ in await chain.query_map("Staking.ErasValidatorReward")))
        if not (batch := await _unclaimed(chain, validator, ended)):
            raise Failure(
                f"nothing is left to pay out for {validator}: it validated in no era that is unclaimed"
            )
        while batch:
            receipt = await chain.submit(
                "Utility.force_batch", calls=[_payout(validator, era) for era in batch]
            )
            paid = _paid(receipt)
            for era, amounts in paid.items():
                shown = {"era": era, "amount": str(sum(amounts)), "accounts": len(amounts)}
                text = f"era {era}: {asy(sum(amounts))} ASY for {len(amounts)} accounts"
                block = receipt.block.number
                show(json.dumps(shown | {"block": block}) if parsed.json else f"{text}, block #{block}")
            ended.extendleft(reversed(batch) if paid else ())  # an era has a page for every 64 nominators
            batch = await _unclaimed(chain, validator, ended)


def _payout(validator: str, era: int) -> dict[str, Any]:
    asked = {"validator_stash": validator, "era": era}
    return {"call_module": "Staking", "call_function": "payout_stakers", "call_args": asked}


def _paid(receipt: Receipt) -> dict[int, list[int]]:
    """Return what was paid, by era."""
    paid: dict[int, list[int]] = {}
    for name, values in receipt.events:
        if name == "Staking.PayoutStarted":
            amounts = paid.setdefault(values["era_index"], [])
        elif name == "Staking.Rewarded":
            amounts.append(values["amount"])
    return paid


async def _unclaimed(chain: Chain, validator: str, ended: deque[int]) -> list[int]:
    """Take the next eras with something to pay out; others are claimed, too old, or had no such validator."""
    found: list[int] = []
    while ended and len(found) < BATCH:
        era = ended.popleft()
        try:
            await chain.check("Staking.payout_stakers", validator_stash=validator, era=era)
            found.append(era)
        except Refused as refused:
            if refused.name not in ("AlreadyClaimed", "InvalidEraToReward"):
                raise
    return found


async def _show(parsed: argparse.Namespace) -> Stake:
    who = None if parsed.account is None else address(parsed.account, "the account")
    if who is None and parsed.key is None and parsed.key_file is None:
        raise Failure("name an account, or give --key", USAGE)
    async with looking(parsed) as chain:
        return await stake_of(chain, who or chain.address)


async def stake_of(chain: Chain, account: str, at: Head | None = None) -> Stake:
    """Return what an account has at stake, as of a finalised block."""
    head = at or await chain.finalized_head()

    async def ask(item: str, *keys: Any) -> Any:
        return await chain.query(item, *keys, at=head)

    era = (await ask("Staking.ActiveEra") or {"index": 0})["index"]
    ledger = await ask("Staking.Ledger", account)
    prefs = await ask("Staking.Validators", account)
    is_validator = account in {who for who, _ in await chain.query_map("Staking.Validators", at=head)}
    nominations = await ask("Staking.Nominators", account)
    overview = await ask("Staking.ErasStakersOverview", era, account)
    unlocking = [dict(each) for each in ledger["unlocking"]] if ledger else []
    payee = await ask("Staking.Payee", account) if ledger else None
    balance = (await ask("System.Account", account))["data"]
    return Stake(
        account=account,
        free=balance["free"],
        spendable=balance["free"] - balance["frozen"],
        bonded=ledger["total"] if ledger else 0,
        active=ledger["active"] if ledger else 0,
        unlocking=unlocking,
        withdrawable=sum(each["value"] for each in unlocking if each["era"] <= era),
        role="validator" if is_validator else "nominator" if nominations else "none",
        commission_ppb=prefs["commission"] if is_validator else None,
        nominates=list(nominations["targets"]) if nominations else [],
        rewards=payee if isinstance(payee, str) else next(iter(payee.values())) if payee else "None",
        backing=overview["total"] if overview else 0,
        era=era,
    )


def _json(found: Stake) -> dict[str, Any]:
    """Return it as JavaScript can hold it: amounts are decimal strings of planck."""
    return {
        "account": found.account,
        "free": str(found.free),
        "spendable": str(found.spendable),
        "bonded": str(found.bonded),
        "active": str(found.active),
        "unlocking": [{"value": str(each["value"]), "era": each["era"]} for each in found.unlocking],
        "withdrawable": str(found.withdrawable),
        "role": found.role,
        "commissionPpb": found.commission_ppb,
        "nominates": found.nominates,
        "rewards": found.rewards,
        "backing": str(found.backing),
        "era": found.era,
    }


def _text(found: Stake) -> str:
    lines = [
        f"account     {found.account}",
        f"free        {asy(found.free)} ASY, {asy(found.spendable)} of them to spend",
        f"bonded      {asy(found.bonded)} ASY, {asy(found.active)} ASY of them active",
    ]
    for each in found.unlocking:
        state = "free now" if each["era"] <= found.era else f"free in era {each['era']}"
        lines.append(f"unlocking   {asy(each['value'])} ASY, {state}")
    if found.role == "validator":
        commission = (found.commission_ppb or 0) / 10**7
        lines.append(
            f"role        validator, {commission:g} % commission, {asy(found.backing)} ASY behind it"
        )
    else:
        lines.append(f"role        {found.role}")
    lines += [f"backs       {target}" for target in found.nominates]
    return "\n".join([*lines, f"rewards     {found.rewards}", f"era         {found.era}"])

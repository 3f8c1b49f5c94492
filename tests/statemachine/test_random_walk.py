"""A walk at random through the machine, beside a model that knows nothing of its table."""

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from statemachine import (
    Amounts,
    Facts,
    GuardFailed,
    MachineError,
    State,
    TransitionRefused,
    Trigger,
    available_actions,
    decide,
    possible_triggers,
)

WHOLE = 100
PARTS = st.sampled_from([1, 30, 70, WHOLE, 0, WHOLE + 1])
OPEN = {"created", "pushed", "soft_dismissed"}
# Where a trigger without money leads, and from where, in the words of the contract.
PLAIN = {
    "push": (OPEN, "pushed"),
    "soft_dismiss": ({"pushed"}, "soft_dismissed"),
    "abort": (OPEN, "aborted"),
    "expire": (OPEN, "expired"),
    "terminate": (OPEN, "terminated"),
    "fail": ({"created"}, "failed"),
    "reopen": ({"aborted", "expired", "failed"}, "created"),
}


class Walk(RuleBasedStateMachine):
    """Ask for anything at any time; the model keeps four numbers and a name."""

    def __init__(self) -> None:
        """Begin before the first state."""
        super().__init__()
        self.state: State | None = None
        self.amounts = Amounts()
        self.name = ""
        self.reserved = self.taken = self.given_back = self.released = 0

    @initialize(is_approved=st.booleans())
    def create(self, is_approved: bool) -> None:
        """Create the invoice; half of the walks begin where the money is."""
        self._ask(Trigger.CREATE, Amounts(), "created")
        if is_approved:
            self.authorize(WHOLE)

    @rule(trigger=st.sampled_from([*PLAIN, "create"]), is_willing=st.booleans())
    def move_without_money(self, trigger: str, is_willing: bool) -> None:
        """Ask for a trigger that moves no money, with facts that satisfy its guard or do not."""
        starts, end = PLAIN.get(trigger, (set(), ""))
        is_guarded = trigger not in ("soft_dismiss", "abort")
        fits = self.name in starts and (is_willing or not is_guarded)

        self._ask(Trigger(trigger), self.amounts, end if fits else None, is_willing=is_willing)

    @rule(amount=st.sampled_from([WHOLE, 0, WHOLE - 1, WHOLE + 1]))
    def authorize(self, amount: int) -> None:
        """Let the customer approve the right amount, or another one."""
        fits = self.name in OPEN and amount == WHOLE

        self._ask(Trigger.AUTHORIZE, Amounts(amount), "authorized" if fits else None)

        if fits:
            self.reserved = amount

    @rule(amount=PARTS)
    def capture(self, amount: int) -> None:
        """Take a part of what is reserved, or too much, or nothing."""
        fits = self.name in ("authorized", "captured") and 0 < amount <= self._rest()

        after = self.amounts.plus("CAPTURED", amount)
        self._ask(Trigger.CAPTURE, after, "captured" if fits else None)

        self.taken += amount if fits else 0

    @rule(missing=st.sampled_from([0, 0, 0, 1, -1]))
    def cancel(self, missing: int) -> None:
        """Release the whole rest, or an amount that is not the whole rest."""
        fits = self.name in ("authorized", "captured") and self._rest() > 0 and missing == 0
        end = "cancelled" if self.taken == 0 else "captured"
        if self.taken and self.given_back == self.taken:
            end = "refunded"
        amount = self._rest() - missing

        self._ask(Trigger.CANCEL, self.amounts.plus("CANCELLED", amount), end if fits else None)

        self.released += amount if fits else 0

    @rule(amount=PARTS, is_all=st.booleans())
    def refund(self, amount: int, is_all: bool) -> None:
        """Give back a part or all of what is taken, or too much, or nothing."""
        amount = self.taken - self.given_back if is_all else amount
        fits = self.name == "captured" and 0 < amount <= self.taken - self.given_back
        settles = self.given_back + amount == self.taken and self._rest() == 0

        after = self.amounts.plus("REFUNDED", amount)
        self._ask(Trigger.REFUND, after, ("refunded" if settles else "captured") if fits else None)

        self.given_back += amount if fits else 0

    @invariant()
    def machine_and_model_agree(self) -> None:
        """Compare the names and the four numbers."""
        assert (self.state or "") == self.name
        assert self.amounts == Amounts(self.reserved, self.taken, self.given_back, self.released)
        assert self.amounts.is_sound

    @invariant()
    def final_states_offer_nothing(self) -> None:
        """Compare what is possible with whether anything is left to do."""
        is_final = self.name in ("refunded", "cancelled", "terminated")
        if self.state is not None:
            assert (possible_triggers(self.state) == ()) is is_final
            assert (available_actions(self.state, self.amounts) == ()) is is_final

    def _rest(self) -> int:
        return self.reserved - self.taken - self.released

    def _ask(
        self, trigger: Trigger, after: Amounts, expected: str | None, *, is_willing: bool = True
    ) -> None:
        """Ask the machine; hold it to the state that the model expects, None for a refusal."""
        facts = Facts(
            amount_minor=WHOLE,
            before=self.amounts,
            after=after,
            payment_is_new=is_willing,
            payment_may_live=not is_willing,
            reopened_by_merchant=is_willing,
        )
        asked = replace(facts)
        try:
            decision = decide(self.state, trigger, facts)
        except MachineError as refusal:
            assert expected is None
            assert isinstance(refusal, GuardFailed | TransitionRefused)
            assert isinstance(refusal, GuardFailed) is (trigger in refusal.possible)
            assert facts == asked
        else:
            assert decision.to == expected
            self.state, self.amounts, self.name = decision.to, decision.amounts, expected


# Whatever is asked in whatever order, machine and model stay together.
TestRandomWalk = Walk.TestCase
TestRandomWalk.settings = settings(
    max_examples=120, stateful_step_count=30, deadline=None, derandomize=True
)

"""How a state ends: pure functions from a coin to an event of the workflow."""

from dataclasses import dataclass

from sim.backoffice.workflow import Event
from sim.scenario.backoffice import Backoffice, Rules


@dataclass(frozen=True, slots=True)
class Examination:
    """What an examination of a domain's dossiers leads to, and how much work it is.

    Attributes
    ----------
    effort : float
        Work over the ordinary one, > 0.
    refused_share, incomplete_share, consult_share : float
        Of all examinations, 0 to 1.
    """

    effort: float
    refused_share: float
    incomplete_share: float
    consult_share: float

    @classmethod
    def of(cls, spec: Backoffice, domain: str) -> "Examination":
        """Return the shares of a domain: its own, and those of all where it has none."""
        rules, own = spec.workflow.rules, spec.workflow.by_domain.get(domain)
        everywhere = (rules.refused_share, rules.incomplete_share, rules.consult_share)
        if own is None:
            return cls(1.0, *everywhere)
        special = (own.refused_share, own.incomplete_share, own.consult_share)
        shares = [
            all_share if share is None else share
            for share, all_share in zip(special, everywhere, strict=True)
        ]
        return cls(own.effort, *shares)

    def event(self, u: float, *, may_ask: bool, may_consult: bool) -> Event:
        """Return how an examination ends.

        Parameters
        ----------
        u : float
            The coin, in (0, 1).
        may_ask : bool
            Whether papers may be asked for (again).
        may_consult : bool
            Whether another agency was not asked before.
        """
        below = self.refused_share
        if u < below:
            return Event.DENIED
        if may_ask:
            below += self.incomplete_share
        if u < below:
            return Event.INCOMPLETE
        if may_consult:
            below += self.consult_share
        return Event.CONSULTED if u < below else Event.EXAMINED


def reception(rules: Rules, u: float, *, may_ask: bool, is_fee_due: bool) -> Event:
    """Return how a reception ends.

    Parameters
    ----------
    rules : Rules
        The shares.
    u : float
        The coin, in (0, 1).
    may_ask : bool
        Whether papers may be asked for (again).
    is_fee_due : bool
        Whether a fee is to be paid and was never asked for.
    """
    below = rules.refused_at_reception_share
    if u < below:
        return Event.DENIED
    if may_ask:
        below += rules.incomplete_at_reception_share
    if u < below:
        return Event.INCOMPLETE
    return Event.FEE_DUE if is_fee_due else Event.ACCEPTED


def approval(share: float, u: float, *, may_send_back: bool) -> Event:
    """Return how an approval ends; ``share`` of those that may be are sent back."""
    return Event.SENT_BACK if may_send_back and u < share else Event.APPROVED


def citizens_answer(
    withdrawn_share: float, u: float, answer_s: float, limit_s: float
) -> tuple[Event, float]:
    """Return what a citizen does who is asked for something, and after how long, s.

    Parameters
    ----------
    withdrawn_share : float
        Of those asked, 0 to 1.
    u : float
        The coin, in (0, 1).
    answer_s, limit_s : float
        How long the answer takes, and may take, s.
    """
    if u < withdrawn_share:
        return Event.WITHDREW, min(answer_s, limit_s)
    if answer_s <= limit_s:
        return Event.ANSWERED, answer_s
    return Event.UNANSWERED, limit_s

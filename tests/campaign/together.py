"""Two at once into one output: the second is refused, and the first ends as if it were alone."""

import signal

from tests.campaign.command import Shot
from tests.campaign.content import compare
from tests.campaign.process import Running
from tests.campaign.stage import OUT, SCENARIOS, Scenario, Stage
from tests.campaign.trial import Trial

WAIT_SECONDS = 60.0  # for the first to come to its halt


def attempt(trial: Trial, stage: Stage) -> None:
    """Either halt one command in the middle of its work while another runs, or let both run side by side."""
    scenario = SCENARIOS[trial.index % len(SCENARIOS)]
    stage.lay_out(trial)
    how = trial.draw.choice([scenario.again, scenario.again, ("--overwrite",), ()])
    (_halted if trial.draw.random() < 0.7 else _side_by_side)(trial, stage, scenario, how)


def _halted(trial: Trial, stage: Stage, scenario: Scenario, how: tuple[str, ...]) -> None:
    """The second begins and ends while the first stands still: whatever it does is done behind the first's back."""
    event = trial.draw.choice(middle(stage.reference(scenario).events))
    trial.name = f"{scenario.name}, halted at file event {event}, and another with {' '.join(how) or 'no option'}"
    first = trial.start(scenario.line, shots=[Shot(signal.SIGSTOP, event=event)])
    if not first.stopped(WAIT_SECONDS):
        trial.end(first)
        return trial.lost(f"{scenario.name} did not come to file event {event}")
    second = trial.run((*scenario.line, *how))
    first.go_on()
    ended = trial.end(first)
    if not second.code:
        trial.silent(f"a second {scenario.name} {' '.join(how)} was let into the output of the first")
    if ended.code:
        trial.lost(f"the first {scenario.name} failed because of a second one: {ended.errors[:100]}")
    _compare(trial, stage, scenario)
    return None


def middle(events: list[str]) -> list[int]:
    """Which changes of files lie between the first and the last result: there a command is surely at work."""
    renames = [number for number, event in enumerate(events) if event.startswith("os.rename")]
    return [number for number in range(len(events)) if renames[0] < number <= renames[-1]] or renames


def _side_by_side(trial: Trial, stage: Stage, scenario: Scenario, how: tuple[str, ...]) -> None:
    """Both at work: whoever comes first, one of them ends well, and the result is right."""
    delay = trial.draw.uniform(0, 0.6 * stage.reference(scenario).seconds)
    trial.name = f"{scenario.name}, and {delay:.2f} s later another with {' '.join(how) or 'no option'}"
    first: Running = trial.start(scenario.line)
    first.wait(delay)
    both = [trial.end(each) for each in (first, trial.start((*scenario.line, *how)))][::-1]
    if all(ended.code for ended in both):
        trial.lost(
            f"two of {scenario.name} at once, and neither ended well: {both[0].errors[:60]}, {both[1].errors[:60]}"
        )
    _compare(trial, stage, scenario)


def _compare(trial: Trial, stage: Stage, scenario: Scenario) -> None:
    if found := compare(trial.work / OUT, stage.reference(scenario).out):
        trial.lost(f"two of {scenario.name} at once: {found[0]}")
        trial.lines += found

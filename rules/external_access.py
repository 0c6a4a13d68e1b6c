"""The network is used after training."""

from __future__ import annotations

from auditor.behaviour.facts import Question, TraceFacts
from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Confidence, Finding, Kind, Ruling
from auditor.source.facts import SourceFacts
from rules._examples import scored, script
from rules._order import distinct, place
from rules._trace import data_rule, ruled

_URL = "https://example.org/table.bin"
_FETCH = f'''
def fetch_table(path):
    if not os.path.exists(path):
        urllib.request.urlretrieve("{_URL}", path)@@
    return np.load(path)
'''
_HUB = '''
def weights_from_hub():
    path = hf_hub_download(repo_id="someone/some-model", filename="weights.pt")@@
    return torch.load(path)
'''
_DOWNLOAD_FIRST = '''
def ensure_data(folder):
    if not glob.glob(os.path.join(folder, "fineweb_train_*.bin")):
        hf_hub_download(repo_id="someone/data", filename="fineweb_train_000000.bin", local_dir=folder)
'''


class ExternalAccess(Rule):
    """What it does:
    After training, or while evaluating, the script uses the network: a download of weights, tables or text, a request
    to a service.

    Why it is not allowed:
    The artifact must be self-contained: "no external downloads, no training-data access, no network calls during
    evaluation".

    How to fix it:
    Put what is needed into the artifact and its size; fetch the data set before training.

    Known limits:
    Downloads before training are taken as data preparation. Uploads of results (experiment trackers) count as network
    calls when they stand after training.

    Authority:
    README O3 [M].
    """

    title = "The network is used after training"
    ruling = Ruling.ILLEGAL
    kind = Kind.INTEGRITY
    authority = "README O3 [M]"
    since = "2026-03-18"

    def check_source(self, submission: Submission, facts: SourceFacts) -> Ruled:
        """Found: a network call after training."""
        findings = [
            Finding(Confidence.MEDIUM if call.guard else Confidence.HIGH,
                    f"network call after training: {call.call}", place(call.site))
            for call in facts.external if call.what == "network" and call.after_training
        ]
        if findings:
            return Ruled.found(distinct(findings), "the network is used after training")
        if not facts.complete:
            return Ruled.unknown("the walk over the code was cut short")
        return Ruled.clear("no network call after training")

    def check_trace(self, submission: Submission, facts: TraceFacts) -> Ruled:
        """Found: the network was asked for something."""
        return ruled(facts, Question.DATA_ACCESS, self.id(), data_rule)

    VALID = [
        Example("plain", {"train_gpt.py": script()}),
        Example("data fetched before training", {"train_gpt.py": script(
            _DOWNLOAD_FIRST, imports="from huggingface_hub import hf_hub_download\n",
            train="ensure_data(args.data_path)\nfor step in range(args.iterations):\n"
                  "    x, y = stream.next_batch(8, args.seq_len)\n    optimizer.zero_grad()\n"
                  "    model(x, y).backward()\n    optimizer.step()\n")}),
        Example("defined, never called", {"train_gpt.py": script(
            _FETCH.replace("@@", ""), imports="import urllib.request\n")}),
    ]
    INVALID = [
        Example("table fetched for the evaluation", {"train_gpt.py": script(
            _FETCH.replace("@@", "  # [external-access]"), imports="import urllib.request\n",
            after='table = fetch_table("table.npy")\n' + scored("eval_val(args, model, val_tokens, byte_lut)"))}),
        Example("weights from a hub", {"train_gpt.py": script(
            _HUB.replace("@@", "  # [external-access]"), imports="from huggingface_hub import hf_hub_download\n",
            after="model.load_state_dict(weights_from_hub())\n"
                  + scored("eval_val(args, model, val_tokens, byte_lut)"))}),
    ]

"""The result of ``make bench-mt`` in words: a table of translation and one of training."""

from collections.abc import Mapping
from typing import Any

from onepage.benchmarks import results, turns
from onepage.benchmarks.mt import CONTENDERS, PEERS, summarise
from onepage.benchmarks.results import Cells, digits, rate

NAMES = {"ours": "ours", "uncached": "ours without cache", "joeynmt": "JoeyNMT", "ctranslate2": "CTranslate2 fp32"}
TRAINING_HEADS = ("", "plain loop", "ours", "ratio")


def heads(result: Mapping[str, Any]) -> Cells:
    """The contenders, with the versions of those of others."""
    versions = {name: found.get("version", "") for name, found in result["peers"].items()}
    return ("", *(f"{NAMES[name]} {versions.get(name, '')}".strip() for name in CONTENDERS))


def rows(result: Mapping[str, Any]) -> list[Cells]:
    """(what, a cell for each contender); one that was not measured says why in its first cell."""
    found, agreed, sentences = summarise(result), result["agreement"], _sentences(result)
    measured = found["translation"]

    def cells(label: str, words: Any) -> Cells:
        return (label, *(words(name) if name in measured else "" for name in CONTENDERS))

    table = [
        cells("sentences/s", lambda name: rate(measured[name]["sentences"])),
        cells("pieces/s", lambda name: rate(measured[name]["tokens"])),
        cells("ours is so many times as fast", lambda name: "" if name == "ours" else f"{found['ratios'][name]:.2g}"),
        cells("peak memory of the process", lambda name: f"{measured[name]['memory'] / 1e6:,.0f} MB"),
        cells("of this, added by translating", lambda name: f"{measured[name]['added'] / 1e6:,.0f} MB"),
        cells(
            f"outputs the same as ours, of {sentences:,}",
            lambda name: "" if name == "ours" else f"{agreed[name]['same']:,}",
        ),
        cells("BLEU against ours", lambda name: "" if name == "ours" else f"{agreed[name]['bleu_against_ours']:.1f}"),
        cells("BLEU on validation", lambda name: f"{agreed[name]['bleu']:.2f}"),
    ]
    why = [result["peers"].get(name, {}).get("missing", "") for name in CONTENDERS]
    table[0] = (table[0][0], *(cell or reason for cell, reason in zip(table[0][1:], why, strict=True)))
    return table


def training_rows(result: Mapping[str, Any]) -> list[Cells]:
    """(what, plain loop, ours, ratio) of the training loops."""
    found = summarise(result)
    plain, ours = found["training"]["plain"], found["training"]["our"]
    how = (
        f"{plain['precision']}, {result['plain']['optimiser']}",
        f"{ours['precision']}, {result['ours']['recipe']['optimiser']}",
    )
    return [
        ("arithmetic, optimiser", *how, ""),
        ("target tokens/s", rate(plain["tokens"]), rate(ours["tokens"]), f"{found['ratios']['training']:.1f}"),
        ("share of the matrix-product peak", *(_share(found, row) for row in (plain, ours)), ""),
        (
            "peak memory",
            *(f"{row['memory'] / 1e9:.1f} GB" for row in (plain, ours)),
            f"{ours['memory'] / plain['memory']:.1f}",
        ),
    ]


def _share(found: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    return f"{row['share'] * 100:.0f} % of {digits(found['peaks'][row['precision']] / 1e9)} GFLOP/s"


def _sentences(result: Mapping[str, Any]) -> int:
    return int(result["samples"]["ours"][0]["sentences"])


def notes(result: Mapping[str, Any]) -> str:
    """How the figures came about, in a paragraph."""
    settings, model, recipe = result["settings"], result["model"], result["ours"]["recipe"]
    text = [
        f"{results.hardware(result)}; {results.origin(result)}.",
        f"Rates: median (least to greatest) of {settings['repeats']} turns, the contenders in turn, on all cores.",
        f"Translation: {_sentences(result):,} validation sentences ({result['data']['src']} to "
        f"{result['data']['tgt']}), beam {settings['beam_size']}, by one model (recipe {model['profile']}, seed "
        f"{model['seed']}); the searches in torch take batches of {settings['batch_tokens']:,} positions, sorted by "
        "length, CTranslate2 its fastest.",
    ]
    for name in PEERS:
        found = result["peers"][name]
        if "missing" in found:
            text.append(f"{NAMES[name]}: {found['missing']}.")
        elif found["same_model"]:
            text.append(
                f"With our weights {NAMES[name]} gives each of {found['compared']} references our log-probability "
                f"(within {found['largest_difference']:.0e} nats); what it finds differs by its own search."
            )
        else:
            text.append(
                f"**{NAMES[name]} is not the same model: log-probabilities differ by up to "
                f"{found['largest_difference']:.2g} nats.**"
            )
    text.append(
        f"Training: {settings['updates']} updates of {settings['train_tokens']:,} target positions, d = "
        f"{recipe['d_model']}, {recipe['encoder_layers']} + {recipe['decoder_layers']} layers, "
        f"{recipe['vocabulary']:,} pieces, dropout {recipe['dropout']:g}; the share counts linear layers alone."
    )
    if turns.busy(result):
        text.append(f"**The machine was busy (load {result['load_before']}) when this began.**")
    return " ".join(text)


def markdown(result: Mapping[str, Any]) -> str:
    """One result for the README."""
    tables = results.markdown(heads(result), rows(result)), results.markdown(TRAINING_HEADS, training_rows(result))
    return f"{tables[0]}\n\n{tables[1]}\n\n{notes(result)}"


def show(result: Mapping[str, Any]) -> None:
    """Print the tables and their notes to the terminal."""
    from onepage.verification.verify import print_rows

    print_rows("Translation by one model", ("what", *heads(result)[1:]), rows(result))
    print_rows("Training by a plain loop and by ours", ("what", *TRAINING_HEADS[1:]), training_rows(result))
    print(notes(result).replace("**", ""))

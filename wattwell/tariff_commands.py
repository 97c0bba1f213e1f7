"""`wattwell tariff`: a tariff document checked, readings rated by it, and what they cost explained."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from prepaid import bill
from prepaid.tariff import Tariff
from prepaid.tariff_document import BadTariff, parse
from wattwell import tariff_usage
from wattwell.tariff_files import BadFile, Usage, read_document, read_usage
from wattwell.tariff_usage import NoSuchInterval

app = typer.Typer(
    no_args_is_help=True, help="Check a tariff, rate readings by it, and explain what they cost."
)


class Language(StrEnum):
    EN = "en"
    ZH = "zh"


TariffFile = Annotated[Path, typer.Argument(metavar="TARIFF.json", help="The tariff document.")]
UsageFile = Annotated[
    Path,
    typer.Argument(
        metavar="USAGE.csv", help="Readings in order of time: time,register and a line for each."
    ),
]
Persons = Annotated[
    int | None, typer.Option(min=0, help="Who live behind the meter, where tiers grow by persons.")
]
Households = Annotated[
    int, typer.Option(min=1, help="Households behind the meter, where tiers grow by households.")
]
AsJson = Annotated[bool, typer.Option("--json", help='One JSON object, or {"error": why}.')]


@app.command(no_args_is_help=True)
def check(tariff: TariffFile) -> None:
    """Say every mistake in a tariff with its place; or, where there is none, draw what it says.

    Exit status: 0 good, 1 it cannot be used.
    """
    try:
        good = parse(read_document(tariff))
    except BadFile as error:
        _refuse(str(error), as_json=False)
    except BadTariff as error:
        for fault in error.errors:
            typer.echo(fault)
        count = len(error.errors)
        _refuse(
            f"{tariff} cannot be used: {count} mistake{'s' if count > 1 else ''}.", as_json=False
        )
    from wattwell.tariff_overview import show

    show(good)


@app.command(no_args_is_help=True)
def rate(
    tariff: TariffFile,
    usage: UsageFile,
    persons: Persons = None,
    households: Households = 1,
    as_json: AsJson = False,
) -> None:
    """The bill for a list of readings. The first one opens the account: usage counts from it.

    Exit status: 0 rated, 1 a file cannot be used.
    """
    prices, read = _files(tariff, usage, as_json=as_json)
    billed = bill.bill(prices, tariff_usage.readings(read), persons=persons, households=households)
    if as_json:
        typer.echo(json.dumps(bill.document(billed), ensure_ascii=False))
        return
    from wattwell.tariff_tables import show_bill

    show_bill(billed, prices)


@app.command(no_args_is_help=True)
def explain(
    tariff: TariffFile,
    usage: UsageFile,
    since: Annotated[
        str | None,
        typer.Option("--from", help="Explain from this time on: 2026-05-01 or 2026-05-01T10:30."),
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="And before this one.")] = None,
    interval: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Explain between reading N and the next one; 1 is the first. [default: the last]",
        ),
    ] = None,
    persons: Persons = None,
    households: Households = 1,
    language: Annotated[Language, typer.Option(help="Of the words.")] = Language.EN,
    as_json: AsJson = False,
) -> None:
    """Why readings cost what they cost: each piece of time, tier, band, price and rounding, in words.

    Exit status: 0 explained, 1 a file cannot be used or has no such interval.
    """
    if interval is not None and (since is not None or until is not None):
        typer.echo("Give either --interval or --from and --to, not both.", err=True)
        raise typer.Exit(2)
    prices, read = _files(tariff, usage, as_json=as_json)
    try:
        if since is None and until is None:
            chosen = [tariff_usage.numbered(read, interval)]
        else:
            chosen = tariff_usage.between(read, prices, since=since, until=until)
    except NoSuchInterval as error:
        _refuse(str(error), as_json=as_json)
    explained = tariff_usage.explained(prices, read, chosen, persons=persons, households=households)
    from wattwell.tariff_tables import as_document, show_explanation

    if as_json:
        document = as_document(explained, prices, language)
        typer.echo(json.dumps(document, ensure_ascii=False))
        return
    for one in explained:
        show_explanation(one, prices, language)


def _files(tariff: Path, usage: Path, *, as_json: bool) -> tuple[Tariff, Usage]:
    """What the two files hold, or the end of the program with a sentence."""
    try:
        return parse(read_document(tariff)), read_usage(usage)
    except BadFile as error:
        _refuse(str(error), as_json=as_json)
    except BadTariff as error:
        _refuse(f"{tariff} cannot be used: {'; '.join(error.errors)}.", as_json=as_json)


def _refuse(sentence: str, *, as_json: bool) -> NoReturn:
    if as_json:
        typer.echo(json.dumps({"error": sentence}, ensure_ascii=False))
    else:
        typer.echo(sentence, err=True)
    raise typer.Exit(1)

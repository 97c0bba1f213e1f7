"""`wattwell simulate`: meters on lines of their own, and companies for payments and messages, to try software on."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from fastapi import FastAPI

    from simulators.alipay import Alipay
    from simulators.building import Building
    from simulators.wechatpay import WeChatPay

app = typer.Typer(
    invoke_without_command=True,
    help="Meters, and companies for payments and messages, to try things on.",
)

Config = Annotated[Path, typer.Option("--config", "-c", help="The program's settings file.")]


@app.callback()
def simulate(
    context: typer.Context,
    meters: Annotated[
        Path | None, typer.Option(help="Serve the meters of this file until Ctrl-C.")
    ] = None,
    example: Annotated[
        bool, typer.Option("--example", help="Print a meters.toml with one meter of each kind.")
    ] = False,
) -> None:
    """Serve simulated meters on serial and TCP lines at true speed: wattwell simulate --meters meters.toml."""
    if context.invoked_subcommand is not None:
        return
    if example:
        text = resources.files("simulators").joinpath("example.toml").read_text("utf-8")
        typer.echo(text, nl=False)
    elif meters is not None:
        raise typer.Exit(_serve(meters))
    else:
        typer.echo(context.get_help())
        raise typer.Exit(2)


def _serve(meters: Path) -> int:
    from simulators import building

    logging.getLogger("simulators").setLevel(logging.WARNING)  # the table says where lines listen
    return asyncio.run(building.run(meters, ready=_show))


def _show(building: Building, places: dict[str, str]) -> None:
    """The lines and where to open them, then the meters."""
    console = Console()
    for name, place in places.items():  # unwrapped, so that it can be copied whole
        console.print(f"line {name:<8} {place}", soft_wrap=True, highlight=False, markup=False)
    table = Table(box=SIMPLE_HEAD, header_style="bold", show_edge=False)
    for head in ("Line", "Protocol", "Address", "Register", "Faults"):
        table.add_column(head, justify="right" if head == "Register" else "left")
    for row in building.rows():
        table.add_row(*row)
    console.print("", table, "Ctrl-C ends the bench.", sep="\n", highlight=False)


@app.command("building")
def simulate_building(config: Config) -> None:
    """Serve the meters of a demonstration, and say in the log what happens."""
    from simulators import building

    raise typer.Exit(asyncio.run(building.run(config)))


@app.command("channel")
def simulate_channel(config: Config) -> None:
    """Serve a payment company that moves no money."""
    from simulators import channel

    try:
        settings = channel.Settings.load(config)
    except channel.BadSettings as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    raise typer.Exit(asyncio.run(channel.run(settings)))


Folder = Annotated[
    Path, typer.Option(help="Keys, and what the cloud's settings need, are kept here 密钥与设置.")
]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Port of 127.0.0.1 端口.")]


@app.command("wechat")
def simulate_wechat(
    folder: Folder = Path("play/wechat"),
    port: Port = 9081,
    site: Annotated[
        str, typer.Option(help="Host of the cloud's public_url, whose H5 pages are taken 商户域名.")
    ] = "127.0.0.1",
    certificates: Annotated[
        bool,
        typer.Option(
            "--certificates", help="Sign by platform certificates, which can be changed 平台证书."
        ),
    ] = False,
) -> None:
    """Play WeChat Pay 微信支付: pay, give back and misbehave by hand on its page."""
    from simulators import desk, merchant

    with _place(folder, port) as at:
        company = merchant.wechat(folder, url=_url(port), site=site, by_certificates=certificates)
        _play(desk.payments(company, name="WeChat Pay 微信支付"), folder, at, company)


@app.command("alipay")
def simulate_alipay(folder: Folder = Path("play/alipay"), port: Port = 9082) -> None:
    """Play Alipay 支付宝: pay, give back and misbehave by hand on its page."""
    from simulators import desk, merchant

    with _place(folder, port) as at:
        company = merchant.alipay_merchant(folder, url=_url(port))
        _play(desk.payments(company, name="Alipay 支付宝"), folder, at, company)


@app.command("twilio")
def simulate_twilio(folder: Folder = Path("play/twilio"), port: Port = 9083) -> None:
    """Play Twilio 短信: see what customers are sent, and report by hand what came of it 回执."""
    from simulators import desk, merchant

    with _place(folder, port) as at:
        _play(desk.messages(merchant.twilio(folder, url=_url(port))), folder, at, None)


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


@contextmanager
def _place(folder: Path, port: int) -> Iterator[socket.socket]:
    """Where a company listens, taken before anything is written. Ends the program with a sentence where it cannot be,
    or where nothing can be kept in the folder."""
    with socket.socket() as at:
        at.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            at.bind(("127.0.0.1", port))
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            what = f"port {port} of 127.0.0.1" if error.errno == errno.EADDRINUSE else str(folder)
            typer.echo(
                f"{what}: {error.strerror}. Choose another with --port or --folder"
                " 端口被占用或目录不可写，请另选。",
                err=True,
            )
            raise typer.Exit(2) from None
        yield at


def _play(
    app: FastAPI, folder: Path, at: socket.socket, company: WeChatPay | Alipay | None
) -> None:
    """Serves a company until Ctrl-C."""
    import threading

    import uvicorn

    from simulators import desk

    typer.echo(
        f"{_url(at.getsockname()[1])}  the company's page 操作台\n"
        f"{folder / 'cloud.toml'}  lines for the cloud's cloud.toml 设置，加入云端的 cloud.toml\n"
        f"{folder / 'secrets'}  files for the secrets/ beside it 密钥，复制到其旁的 secrets/\n"
        "Then restart the cloud 然后重启云端. Ctrl-C ends the company; orders are forgotten, keys are kept."
    )
    stopped = threading.Event()
    thread = desk.delivering(company, stopped) if company is not None else None
    uvicorn.Server(uvicorn.Config(app, log_level=logging.WARNING)).run(sockets=[at])
    stopped.set()
    if thread is not None:
        thread.join(timeout=10)

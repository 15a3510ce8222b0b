"""The `servicelab` command.

Each command is a thin edge: it asks a cluster, prints what it got, and turns an error into one sentence and an exit
code. Nothing heavy is imported before the command that needs it.
"""

from __future__ import annotations

import errno
import json
import os
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from .errors import LabError
from .paths import DEFAULT_NAME
from .pocketkube.config import ENGINES, MOST_NODES, PROXY_MODES

EXIT_INTERRUPTED = 130

F = TypeVar("F", bound=Callable[..., Any])


class LabGroup(click.Group):
    """Commands whose errors are one clear sentence and the next step, never a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; exit codes are those of `errors`."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except LabError as error:
            click.echo(f"servicelab: {error.message}", err=True)
            if error.hint:
                click.echo(f"  {error.hint}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("\nservicelab: interrupted.", err=True)
            ctx.exit(EXIT_INTERRUPTED)
        except BrokenPipeError:
            # The reader of our output has gone (`servicelab ... | head`): end quietly, as other commands do.
            _forget_output()
            ctx.exit(1)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EIO):
                raise
            _forget_output()
            click.echo(f"servicelab: the output can't be written: {error.strerror}.", err=True)
            ctx.exit(1)


def _forget_output() -> None:
    """What could not be written is not tried again when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def name_option(command: F) -> F:
    """Adds `--name`: which cluster is meant."""
    return click.option(
        "--name",
        metavar="NAME",
        help=f"Which cluster; several can run side by side. Default: $SERVICELAB_NAME, else {DEFAULT_NAME!r}.",
    )(command)


def output_option(command: F) -> F:
    """Adds `-o json`."""
    forms = click.Choice(["text", "json"])
    return click.option("-o", "--output", type=forms, default="text", help="Form of the report.")(command)


COMMAND_FOLLOWS = {"allow_interspersed_args": False}
"""Options of ours come first; from the first word that is none on, everything belongs to the command."""

PASS_THROUGH = {"ignore_unknown_options": True, **COMMAND_FOLLOWS}
"""For kubectl, options that we don't know are its own, wherever they stand."""


ENGINE_HELP = "What the network is: the kernel's, or simulated. Default: the kernel's where this machine allows it."


def _example(*lines: str) -> str:
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)


@click.group(cls=LabGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="servicelab", prog_name="servicelab")
def main() -> None:
    """Learn how a Kubernetes Service works, on a live cluster that needs no root and no Docker.

    Begin with `servicelab tour` (in the terminal) or `servicelab lab` (in JupyterLab).
    """


@main.command(epilog=_example("servicelab up", "servicelab up --name second --nodes 3"))
@name_option
@output_option
@click.option("--resume", is_flag=True, help="Bring back a cluster that did not end cleanly, with its objects.")
@click.option("--api-port", type=click.IntRange(0, 65535), default=0, help="Port of the API server. Default: any free.")
@click.option("--nodes", type=click.IntRange(1, MOST_NODES), help="How many nodes; the first is the control plane's.")
@click.option("--proxy-mode", metavar=f"[{'|'.join(PROXY_MODES)}]", help="What kube-proxy writes. Default: iptables.")
@click.option("--engine", type=click.Choice(("auto", *ENGINES)), default="auto", help=ENGINE_HELP)
def up(
    name: str | None,
    output: str,
    resume: bool,
    api_port: int,
    nodes: int | None,
    proxy_mode: str | None,
    engine: str,
) -> None:
    """Start the embedded cluster; return when API, node and DNS are ready."""
    from .clusters import EmbeddedCluster

    cluster = EmbeddedCluster(name)
    with _progress(f"Starting the cluster {cluster.name!r}", quiet=output == "json") as tell:
        steps = cluster.start(
            resume=resume,
            api_port=api_port,
            nodes=nodes,
            proxy_mode=proxy_mode,
            engine=None if engine == "auto" else engine,
            on_progress=tell,
        )
    if output == "json":
        click.echo(json.dumps(cluster.status() | {"startSeconds": {k: round(v, 3) for k, v in steps.items()}}))
        return
    click.echo(f"The cluster {cluster.name!r} is ready after {steps['ready']:.1f} s.")
    if cluster.capabilities.simulated:
        click.echo("Its network is simulated: kube-proxy's rules are followed by ServiceLab, not by the kernel.")
        if engine == "auto":
            click.echo("Why, and how to have the real one: servicelab doctor")
    option = _option(cluster.name)
    click.echo(f"Use it:  servicelab kubectl{option} get nodes\nEnd it:  servicelab down{option}")


@main.command(epilog=_example("servicelab down", "servicelab down --name second"))
@name_option
@output_option
def down(name: str | None, output: str) -> None:
    """End the cluster: no process, mount, namespace, interface or file of it stays."""
    from .clusters import EmbeddedCluster

    cluster = EmbeddedCluster(name)
    # Half an end would leave files without a cluster; what is left to do takes a moment.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        ended = cluster.delete()
    finally:
        signal.signal(signal.SIGINT, before)
    if output == "json":
        click.echo(json.dumps({"name": cluster.name, "ended": ended}))
        return
    click.echo(f"The cluster {cluster.name!r} is gone." if ended else f"There is no cluster {cluster.name!r}.")


@main.command(epilog=_example("servicelab status", "servicelab status -o json"))
@name_option
@output_option
def status(name: str | None, output: str) -> None:
    """Show whether the cluster runs, its address, its nodes and Pods. Ends with 3 if it does not run."""
    from .clusters import EmbeddedCluster

    cluster = EmbeddedCluster(name)
    report = cluster.status()
    if output == "json":
        click.echo(json.dumps(report))
    else:
        from .console import print_status

        print_status(report)
    if report["state"] != "running":
        raise click.exceptions.Exit(3)


@main.command(epilog=_example("servicelab doctor", "servicelab doctor -o json"))
@output_option
def doctor(output: str) -> None:
    """Say what works on this machine, what does not, and the next command. Ends with 1 if the cluster can't run."""
    from .console import print_findings
    from .doctor import examine

    findings = examine()
    if output == "json":
        click.echo(json.dumps([finding.as_dict() for finding in findings]))
    else:
        print_findings(findings)
    if any(finding.blocks for finding in findings):
        raise click.exceptions.Exit(1)


@main.command(
    epilog=_example("servicelab lab", "servicelab lab ~/services", "servicelab lab . -- --no-browser --port 8890")
)
@name_option
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.argument("jupyter_args", metavar="[-- JUPYTER-OPTIONS]", nargs=-1, type=click.UNPROCESSED)
def lab(name: str | None, folder: Path | None, jupyter_args: tuple[str, ...]) -> None:
    """Open JupyterLab on the first chapter, in DIR (default: ./servicelab-labs).

    Chapters that are not there yet are copied to it; what you have worked on is never overwritten. The cluster is
    started if it does not run.
    """
    from .notebooks import open_lab, prepare_folder

    # `servicelab lab -- --no-browser` gives JupyterLab's first option the place of DIR.
    if folder is not None and str(folder).startswith("-"):
        jupyter_args, folder = (str(folder), *jupyter_args), None
    chapters = prepare_folder(folder)
    cluster = _ensure_up(name)
    raise click.exceptions.Exit(open_lab(cluster, chapters, list(jupyter_args)))


@main.command(epilog=_example("servicelab tour", "servicelab tour --svg picture.svg"))
@name_option
@click.option("--svg", type=click.Path(dir_okay=False, path_type=Path), help="Where the picture goes.")
def tour(name: str | None, svg: Path | None) -> None:
    """Tell the whole story in the terminal in under 15 seconds, with real commands on a real cluster."""
    from .doctor import require_program
    from .tour import run_tour

    require_program("curl")
    cluster = _ensure_up(name)
    try:
        run_tour(cluster, svg or Path("servicelab-tour.svg"))
    except KeyboardInterrupt:
        click.echo(f"\nThe cluster {cluster.name!r} still runs. End it with: servicelab down{_option(cluster.name)}")
        raise


@main.command(
    context_settings=COMMAND_FOLLOWS,
    epilog=_example(
        "servicelab node", "servicelab node -- iptables-save -t nat", "servicelab node servicelab-m02 -- ip route"
    ),
)
@name_option
@click.option("-n", "--node", metavar="NODE", help="Which node. Default: the first.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[NODE] [-- CMD...]")
def node(name: str | None, node: str | None, command: tuple[str, ...]) -> None:
    """Run a command on a node of the cluster; without one, open a shell there. Ends with its exit code."""
    from .clusters import find

    cluster = find(name)
    named = command[1:2] == ("--",) or (len(command) == 1 and command[0] in cluster.nodes())
    if node is None and named:
        node, command = command[0], command[2:]
    raise click.exceptions.Exit(cluster.interact(cluster.node_or_error(node), command))


@main.command(
    context_settings=COMMAND_FOLLOWS,
    epilog=_example("servicelab outside", "servicelab outside -- ip route"),
)
@name_option
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- CMD...]")
def outside(name: str | None, command: tuple[str, ...]) -> None:
    """Run a command on a machine outside the cluster; without one, open a shell there. Ends with its exit code."""
    from .clusters import find

    raise click.exceptions.Exit(find(name).interact("outside", command))


@main.command(epilog=_example("servicelab tunnel demo-service", "servicelab tunnel web -n shop --port http"))
@name_option
@click.argument("service")
@click.option("-n", "--namespace", default="default", help="The Service's namespace. Default: 'default'.")
@click.option("--port", default="", help="Which port of the Service, by name or number. Default: the first.")
@click.option("--local-port", type=click.IntRange(0, 65535), default=0, help="Port of this machine. Default: any free.")
def tunnel(name: str | None, service: str, namespace: str, port: str, local_port: int) -> None:
    """Open a port of this machine that leads to a Service, and print its URL; until Ctrl-C."""
    import asyncio

    from .clusters import find
    from .errors import ClusterError
    from .tunnel import find_target, serve

    cluster = find(name)
    target = find_target(cluster, service, namespace=namespace, port=port)
    try:
        asyncio.run(serve(cluster, target, local_port, click.echo))
    except OSError as error:
        raise ClusterError(
            f"The port {local_port} can't be used: {error.strerror}.", hint="Leave --local-port out."
        ) from error


@main.command(epilog=_example('eval "$(servicelab env)"', "kubectl get pods"))
@name_option
@output_option
def env(name: str | None, output: str) -> None:
    """Print the shell exports that make any kubectl in this terminal use the cluster."""
    from .clusters import find

    environment = find(name).environment
    if output == "json":
        click.echo(json.dumps(environment))
        return
    for variable, value in environment.items():
        click.echo(f"export {variable}={shlex.quote(value)}")


@main.command(
    context_settings=PASS_THROUGH,
    epilog=_example("servicelab kubectl get pods -A", "servicelab kubectl --name second apply -f service.yml"),
)
@name_option
@click.argument("args", nargs=-1, type=click.UNPROCESSED, metavar="KUBECTL-ARGS...")
def kubectl(name: str | None, args: tuple[str, ...]) -> None:
    """Run the real kubectl on the cluster; everything after it is kubectl's own."""
    from .clusters import find
    from .kubectl import kubectl_path

    environment = find(name).environment
    program = str(kubectl_path())
    sys.stdout.flush()
    os.execve(program, ["kubectl", *args], {**os.environ, **environment})


@main.group(epilog=_example("servicelab image add my-app --from ./bin/my-app", "servicelab image ls"))
def image() -> None:
    """Add, list and remove the images that Pods can run."""


@image.command(
    name="add",
    epilog=_example(
        "servicelab image add my-app --from ./bin/my-app",
        "servicelab image add agnhost --from ./agnhost --entrypoint /agnhost --cmd pause --alias agnhost-2",
        "servicelab image add my-site --base httpd --from ./site --path /usr/local/apache2/htdocs",
        "servicelab image add --file my-images.toml",
    ),
)
@click.argument("image_name", metavar="NAME", required=False)
@click.option("--from", "source", type=click.Path(path_type=Path), help="A program, or a folder with all files.")
@click.option("--path", help="Where it is seen in the container. Default: /PROGRAM; for a folder, /.")
@click.option("--entrypoint", multiple=True, help="The command line, as a whole or word by word. Default: the program.")
@click.option("--cmd", multiple=True, help="Its default arguments, which a Pod's `args` replace; as --entrypoint.")
@click.option("--env", "variables", multiple=True, metavar="NAME=VALUE", help="A variable; may be repeated.")
@click.option("--alias", "aliases", multiple=True, metavar="NAME", help="Another name; may be repeated.")
@click.option("--base", default="", metavar="IMAGE", help="A built-in image whose files and programs it has, too.")
@click.option("--workdir", default="", metavar="DIR", help="Where its command starts.")
@click.option("--user", default="", metavar="UID[:GID]", help="Whom its command runs as. Default: root.")
@click.option("--file", type=click.Path(path_type=Path), help="A TOML file that describes images, in place of NAME.")
@click.option("--replace", is_flag=True, help="Put it in the place of an added image of that name.")
@name_option
@output_option
def image_add(image_name: str | None, file: Path | None, name: str | None, output: str, **settings: Any) -> None:
    """Make an image of a program or a folder, for all clusters or, with --name, for one.

    Its files are copied. Pods find it under any registry, tag or digest: `my-app`, `registry.example/team/my-app:v2`.
    Running clusters have it at once.
    """
    from . import image_command

    added = image_command.add_as_told(name, image_name, file, settings)
    if output == "json":
        click.echo(json.dumps([{"name": one.name, "hides": list(one.hides), **one.entry} for one in added]))
        return
    for one in added:
        click.echo(f"Pods can run the image {one.name!r} now: kubectl run test --image={one.name}")
        for hidden in one.hides:
            click.echo(f"It takes the place of the built-in {hidden!r} until: servicelab image rm {one.name}")


@image.command(name="ls", epilog=_example("servicelab image ls", "servicelab image ls -o json"))
@name_option
@output_option
def image_ls(name: str | None, output: str) -> None:
    """List the images that Pods can run, those that were added first."""
    from . import image_command

    rows = image_command.listing(name)
    if output == "json":
        click.echo(json.dumps(rows))
    else:
        click.echo(image_command.table(rows))
    for problem in image_command.problems(name):
        click.echo(f"servicelab: {problem}", err=True)


@image.command(name="rm", epilog=_example("servicelab image rm my-app"))
@click.argument("image_names", metavar="NAME...", nargs=-1, required=True)
@name_option
def image_rm(image_names: tuple[str, ...], name: str | None) -> None:
    """Remove images that were added; running Pods go on, and find them gone when they start again."""
    from . import image_command

    image_command.remove(image_command.store_of(name), image_names)
    click.echo(f"Removed: {', '.join(image_names)}.")


def _option(name: str) -> str:
    from .paths import name_option

    return name_option(name)


def _ensure_up(name: str | None) -> Any:
    """The running cluster of that name; started, or brought back after a crash, with progress shown."""
    from .clusters import EmbeddedCluster

    cluster = EmbeddedCluster(name)
    if cluster.is_running():
        return cluster
    stale = cluster.has_stale_state()
    doing = "Bringing back" if stale else "Starting"
    with _progress(f"{doing} the cluster {cluster.name!r}") as tell:
        cluster.start(resume=stale, on_progress=tell)
    return cluster


def _progress(title: str, *, quiet: bool = False) -> Any:
    from .console import progress

    return progress(title, quiet=quiet)

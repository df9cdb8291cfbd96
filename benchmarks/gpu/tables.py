"""A result of the throughput benchmark as Markdown."""

from typing import Any

from benchmarks.gpu.measures import MEASURES, list_names

CONFIGS = ("best", "small", "sepreformer")
KINDS = ("stock", "plain", "ours")


def format_tables(result: dict[str, Any]) -> str:
    """All tables of one result, and what is not in them."""
    cases = result["cases"]
    parts = [
        _format_head(result),
        _format_steps(cases),
        _format_phases(cases),
        _format_validation(cases),
        *(
            _format_profile(kind, cases.get(f"profile_{kind}_best", {}))
            for kind in ("ours", "btc", "stock")
        ),
        _format_missing(cases),
    ]
    return "\n\n".join(part for part in parts if part)


def _format_head(result: dict[str, Any]) -> str:
    device, settings = result["device"], result["settings"]
    bandwidth = result["cases"].get("bandwidth", {}).get("bytes_per_s")
    copied = f", copies {bandwidth / 1e9:,.0f} GB/s (read and written)" if bandwidth else ""
    toy = " **Toy sizes (--smoke): no measurement.**" if result["smoke"] else ""
    driver = f", driver {device['driver']}" if device.get("driver") else ""
    return (
        f"{device['name']}{driver}, {device['cores']} CPU cores{copied}; Python "
        f"{device['python']}, torch {device['torch']}, commit {device['commit']}, seed "
        f"{settings.get('seed', 0)}. {settings['segment_s']} s at {settings['sample_rate']} Hz, "
        f"medians of {settings['repeats']} repeats [range].{toy}"
    )


def _is_done(case: dict[str, Any]) -> bool:
    return case.get("status") == "ok"


def _make_table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _format_steps(cases: dict[str, Any]) -> str:
    """Stock's step and all of ours, by configuration and batch."""
    rows = []
    for conf in CONFIGS:
        base = cases.get(f"stock_{conf}", cases.get(f"plain_{conf}", {}))
        for name, case in sorted(cases.items(), key=_rank_case):
            own, label = _name_step(name)
            if own == conf and _is_done(case):
                rows.append([conf, label + _remark(case, label), *_list_figures(case, base)])
    header = ["configuration", "step", "batch", "ms a step", "host ms", "audio s/s"]
    header += ["times the first", "peak memory", "floor", "share of it"]
    return _make_table(header, rows) if rows else ""


def _rank_case(item: tuple[str, dict[str, Any]]) -> tuple[int, int, str]:
    """Stock before ours before its variants, small batches before large ones."""
    name, case = item
    kind = name.partition("_")[0]
    return KINDS.index(kind) if kind in KINDS else len(KINDS), case.get("batch", 0), name


def _name_step(case: str) -> tuple[str, str]:
    """Configuration and label of a step's case; two empty texts for any other."""
    if case in list_names():
        measure, conf = list_names()[case]
        return conf, MEASURES[measure].label
    kind, _, rest = case.partition("_")
    if kind not in KINDS:
        return "", ""
    return rest.split("_")[0], kind + (" (again, at the end)" if case.endswith("_again") else "")


def _remark(case: dict[str, Any], label: str) -> str:
    """Where the compiler did not work: no fair figure."""
    return " (eager)" if label == "ours" and not case.get("compiled_graphs", 1) else ""


def _list_figures(case: dict[str, Any], base: dict[str, Any]) -> list[str]:
    ms, peak = case["ms"], case.get("peak_gib")
    # above the step's time, no GPU can be faster than the host that queues it
    host = f"{case['host_ms']:.2f}" if "host_ms" in case else "–"
    done = _is_done(base)
    return [
        str(case["batch"]),
        f"{ms['median']:.2f} [{ms['low']:.2f}, {ms['high']:.2f}]",
        host,
        f"{case['audio_s_per_s']:,.0f}",
        f"{case['audio_s_per_s'] / base['audio_s_per_s']:.2f}" if done else "–",
        f"{peak:.1f} GiB" if peak is not None else "–",
        f"{case['floor_bytes'] / 1e9:.2f} GB" if "floor_bytes" in case else "–",
        f"{case['floor_share']:.0%}" if "floor_share" in case else "–",
    ]


def _format_phases(cases: dict[str, Any]) -> str:
    """What the host takes to queue each phase of our steps, while the device is idle."""
    phases = {name: case.get("host_phases_ms") for name, case in cases.items() if _is_done(case)}
    phases = {name: values for name, values in phases.items() if values}
    if not phases:
        return ""
    names = list(next(iter(phases.values())))
    rows = [
        [name, *(f"{values.get(phase, 0):.2f}" for phase in names)]
        for name, values in phases.items()
    ]
    return _make_table(["host ms of", *names], rows)


def _format_validation(cases: dict[str, Any]) -> str:
    """A dev mixture of five seconds at a time, by the form of the layers."""
    rows = [
        [conf, form, *(f"{cases[name][f'{form}_{seen}_ms']:.2f}" for seen in ("new", "seen"))]
        for conf in CONFIGS
        if _is_done(cases.get(name := f"validation_{conf}", {}))
        for form in ("stock", "ours", "btc", "together")
    ]
    header = ["validation", "layers", "ms a mixture, new lengths", "ms, lengths seen"]
    return _make_table(header, rows) if rows else ""


def _format_profile(kind: str, case: dict[str, Any]) -> str:
    if not _is_done(case):
        return ""
    rows = [
        [f"`{row['name']}`", f"{row['calls']:.0f}", f"{row['ms']:.3f}", f"{row['share']:.1%}"]
        for row in case["top"]
    ]
    header = [f"{kind}, best: kernel ({case['total_ms']:.2f} ms a step in all)"]
    return _make_table([*header, "calls", "ms", "share"], rows)


def _format_missing(cases: dict[str, Any]) -> str:
    missing = [
        f"- {name}: {case['status']}, {case['why']}"
        for name, case in cases.items()
        if not _is_done(case)
    ]
    return "Not measured:\n" + "\n".join(missing) if missing else ""

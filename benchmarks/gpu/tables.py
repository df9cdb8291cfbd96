"""A result of the throughput benchmark as Markdown."""

from typing import Any

from benchmarks.gpu.measures import MEASURES, list_names

CONFIGS = ("best", "small")
KINDS = ("stock", "plain", "ours")
FEEDS = {
    "loader_stock": "LibriMix Dataset over WAV files, alone",
    "loader_packed": "packed audio, mixed anew, alone",
    "loader_device": "mixed on the device, alone",
    "loop_stock_best": "stock: WAV files and step, best",
    "loop_ours_best": "ours: packed audio and step, best",
    "loop_device_best": "ours: mixed on the device, and step, best",
    "training_small": "ours: stage 4's training function, small",
}


def format_tables(result: dict[str, Any]) -> str:
    """All tables of one result, and what is not in them."""
    cases = result["cases"]
    parts = [
        _format_head(result),
        _format_steps(cases),
        _format_measures(cases),
        _format_phases(cases),
        _format_validation(cases),
        _format_feeds(cases),
        _format_quality(cases.get("quality_small", {})),
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


def _format_ms(case: dict[str, Any]) -> str:
    ms = case["ms"]
    return f"{ms['median']:.2f} [{ms['low']:.2f}, {ms['high']:.2f}]"


def _format_host(case: dict[str, Any]) -> str:
    """What the host takes to queue a step: above the step's time, no GPU can be faster."""
    return f"{case['host_ms']:.2f}" if "host_ms" in case else "–"


def _format_share(case: dict[str, Any]) -> str:
    return f"{case['floor_share']:.0%}" if "floor_share" in case else "–"


def _format_floor(case: dict[str, Any]) -> str:
    return f"{case['floor_bytes'] / 1e9:.2f} GB" if "floor_bytes" in case else "–"


def _format_memory(case: dict[str, Any]) -> str:
    return f"{case['peak_gib']:.1f} GiB" if case.get("peak_gib") is not None else "–"


def _rank_case(item: tuple[str, dict[str, Any]]) -> tuple[int, int, str]:
    """Stock before ours, small batches before large ones."""
    name, case = item
    kind = name.partition("_")[0]
    return KINDS.index(kind) if kind in KINDS else len(KINDS), case.get("batch", 0), name


def _format_steps(cases: dict[str, Any]) -> str:
    """Stock and ours for every configuration and batch."""
    rows = []
    for conf in (*CONFIGS, "sepreformer"):
        base = cases.get(f"stock_{conf}", cases.get(f"plain_{conf}", {}))
        for name, case in sorted(cases.items(), key=_rank_case):
            kind, _, rest = name.partition("_")
            if kind not in KINDS or rest.split("_")[0] != conf or not _is_done(case):
                continue
            times = (
                f"{case['audio_s_per_s'] / base['audio_s_per_s']:.2f}" if _is_done(base) else "–"
            )
            label = kind + (" (again, at the end)" if name.endswith("_again") else "")
            if kind == "ours" and not case.get("compiled_graphs", 1):
                label += " (eager)"  # the compiler did not work here: no fair figure
            cells = [conf, label, str(case["batch"]), _format_ms(case)]
            cells += [_format_host(case), f"{case['audio_s_per_s']:,.0f}", times]
            cells += [_format_memory(case)]
            rows.append([*cells, _format_floor(case), _format_share(case)])
    header = ["configuration", "step", "batch", "ms a step", "host ms", "audio s/s"]
    header += ["times the first", "peak memory", "floor", "share of it"]
    return _make_table(header, rows) if rows else ""


def _format_measures(cases: dict[str, Any]) -> str:
    """What each measure is worth."""
    shipped = {f"ours_{conf}": ("as shipped", conf) for conf in CONFIGS}
    measured = {name: (MEASURES[key].label, conf) for name, (key, conf) in list_names().items()}
    rows = []
    for name, (label, conf) in (shipped | measured).items():
        case, whole = cases.get(name, {}), cases.get(f"ours_{conf}", {})
        if _is_done(case):
            ratio = case["ms"]["median"] / whole["ms"]["median"] if _is_done(whole) else None
            times = f"{ratio:.2f}" if ratio else "–"
            cells = [conf, label, _format_ms(case), _format_host(case), times]
            rows.append([*cells, _format_memory(case), _format_share(case)])
    rows.sort(key=lambda row: CONFIGS.index(row[0]))
    header = ["configuration", "our step", "ms a step", "host ms", "times as shipped"]
    return _make_table([*header, "peak memory", "share of floor"], rows) if rows else ""


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
        for form in ("stock", "ours", "btc")
    ]
    header = ["validation", "layers", "ms a mixture, new lengths", "ms, lengths seen"]
    return _make_table(header, rows) if rows else ""


def _format_feeds(cases: dict[str, Any]) -> str:
    rows = [
        [label, f"{cases[name]['audio_s_per_s']:,.0f}"]
        for name, label in FEEDS.items()
        if _is_done(cases.get(name, {}))
    ]
    return _make_table(["loader", "audio s/s"], rows) if rows else ""


def _format_quality(case: dict[str, Any]) -> str:
    if not _is_done(case):
        return ""
    rows = [
        [f"stock, seed {seed}", f"{run['train_si_sdr']:.2f}", f"{run['dev_si_sdr']:.2f}"]
        for seed, run in case["stock"].items()
    ]
    ours = case["ours"]
    rows.append(["ours, first seed", f"{ours['train_si_sdr']:.2f}", f"{ours['dev_si_sdr']:.2f}"])
    table = _make_table(["small, SI-SDR in dB", "training, last tenth", "dev"], rows)
    return (
        f"{table}\n\nAfter {case['steps']} steps of batch {case['batch']} ({case['speech']}), over "
        f"{case['dev_mixtures']} dev mixtures: ours is {case['ours_is']} of stock's seeds."
    )


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

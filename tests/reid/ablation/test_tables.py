"""The rows of every table against the paper, written out by hand; their recipes; the runs that they share."""

import pytest

from data_cache.base.errors import UserError
from reid.ablation import plan as plan_module
from reid.ablation.paper import TABLE_3
from reid.ablation.plan import Plan, plan_runs, variant_name
from reid.ablation.tables import FIGURES, TABLES, Row, Table, select_tables
from reid.recipes import PRESETS, recipe_for

Scores = tuple[float | None, ...]
ALL_THREE = ("fusion", "global", "part")

# label, run, mAP, Top-1, Top-5: Tables 1, 2, 3 and 5 of arXiv 1909.06023
TABLE_1: list[tuple[str, str, Scores]] = [
    ("baseline", "baseline", (75.7, 95.2, 98.2)),
    ("PGAN, L(f)", "pgan_triplets=fusion", (77.7, 95.9, 98.5)),
    ("PGAN, L(f) + L(g)", "pgan_triplets=fusion,global", (78.0, 95.1, 97.7)),
    ("PGAN, L(f) + L(p)", "pgan_triplets=fusion,part", (78.5, 95.8, 98.3)),
    ("PGAN, L(f) + L(g) + L(p)", "pgan", (79.3, 96.5, 98.3)),
]
TABLE_2: list[tuple[str, str, Scores]] = [
    ("grid attention, 2C' = 256", "grid_features=256", (76.1, 95.3, 97.7)),
    ("PGAN without PAM, 2C' = 256", "pgan_no_pam_features=256", (77.9, 95.6, 98.4)),
    ("PGAN, 2C' = 256", "pgan_features=256", (78.6, 95.4, 98.0)),
    ("grid attention, 2C' = 512", "grid", (77.0, 95.8, 98.0)),
    ("PGAN without PAM, 2C' = 512", "pgan_no_pam", (78.0, 95.5, 98.2)),
    ("PGAN, 2C' = 512", "pgan", (79.3, 96.5, 98.3)),
]
TABLE_5: list[tuple[str, str, Scores]] = [
    ("PGAN, D = 0", "pgan_parts=0", (75.2, 94.9, 98.1)),
    ("PGAN, D = 4", "pgan_parts=4", (76.4, 74.4, 97.9)),
    ("PGAN, D = 6", "pgan_parts=6", (78.7, 96.2, 98.0)),
    ("PGAN, D = 8", "pgan", (79.3, 96.5, 98.3)),
    ("PGAN, D = 10", "pgan_parts=10", (79.1, 95.9, 98.2)),
    ("PGAN, D = 16", "pgan_parts=16", (None, None, None)),
]
ORACLE: list[tuple[str, str, Scores]] = [
    ("baseline", "baseline", (75.7, 95.2, 98.2)),
    ("PGAN, boxes of the detector", "pgan", (79.3, 96.5, 98.3)),
    ("PGAN, boxes of the ground truth, the largest first", "pgan_boxes=truth", (None, None, None)),
    ("PGAN, boxes of the ground truth, the rarest kinds first", "pgan_boxes=rarest", (None, None, None)),
    ("PGAN, boxes at random", "pgan_boxes=random", (None, None, None)),
    ("PGAN, boxes shifted", "pgan_boxes=shifted", (None, None, None)),
]
PLUS: list[tuple[str, str, Scores]] = [
    ("baseline", "baseline", (None, None, None)),
    ("PGAN", "pgan", (None, None, None)),
    ("PGAN+, boxes of the detector", "pgan_plus", (None, None, None)),
    ("PGAN+, boxes of the ground truth", "pgan_plus_boxes=truth", (None, None, None)),
    ("PGAN+, boxes at random", "pgan_plus_boxes=random", (None, None, None)),
    ("PGAN+, boxes shifted", "pgan_plus_boxes=shifted", (None, None, None)),
    ("strong, boxes of the detector", "strong", (None, None, None)),
]
METHODS = ["baseline", "grid attention", "PGAN without PAM", "PGAN"]
PRESETS_OF_TABLE_3 = ["baseline", "grid", "pgan_no_pam", "pgan"]
TABLE_3_BY_SET: dict[str, list[Scores]] = {
    "veri": [(75.7, 95.2, None), (77.0, 95.8, None), (78.0, 95.5, None), (79.3, 96.5, None)],
    "vehicleid": [(None, 77.5, 91.0), (None, 77.1, 91.4), (None, 77.6, 91.8), (None, 77.8, 92.1)],
    "vric": [(None, 76.1, 93.0), (None, 76.7, 93.6), (None, 77.4, 93.1), (None, 78.0, 93.2)],
    "veriwild": [(72.9, 92.9, None), (73.6, 93.9, None), (73.6, 93.8, None), (74.1, 93.8, None)],
}
FIGURE_3: list[tuple[str, str, Scores]] = [
    ("baseline, 2C' = 128", "baseline_features=128", (None, None, None)),
    ("PGAN, 2C' = 128", "pgan_features=128", (None, None, None)),
    ("baseline, 2C' = 256", "baseline_features=256", (None, None, None)),
    ("PGAN, 2C' = 256", "pgan_features=256", (78.6, 95.4, 98.0)),
    ("baseline, 2C' = 512", "baseline", (75.7, 95.2, 98.2)),
    ("PGAN, 2C' = 512", "pgan", (79.3, 96.5, 98.3)),
    ("baseline, 2C' = 1024", "baseline_features=1024", (None, None, None)),
    ("PGAN, 2C' = 1024", "pgan_features=1024", (None, None, None)),
    ("PGAN, λ = 0.5", "pgan_lambda=0.5", (None, None, None)),
    ("PGAN, λ = 1", "pgan_lambda=1", (None, None, None)),
    ("PGAN, λ = 2", "pgan", (79.3, 96.5, 98.3)),
    ("PGAN, λ = 4", "pgan_lambda=4", (None, None, None)),
]


def select(key: str, dataset: str = "veri") -> Table:
    (table,) = select_tables([] if key == "figure" else [key], ["3"] if key == "figure" else [], dataset)
    return table


def as_tuple(row: Row, dataset: str = "veri") -> tuple[str, str, Scores]:
    return row.label, variant_name(row.variant, "paper", dataset), (row.paper.mAP, row.paper.top1, row.paper.top5)


@pytest.mark.parametrize(
    ("table", "rows"),
    [("1", TABLE_1), ("2", TABLE_2), ("5", TABLE_5), ("oracle", ORACLE), ("plus", PLUS), ("figure", FIGURE_3)],
)
def test_rows_equal_the_paper(table: str, rows: list[tuple[str, str, Scores]]) -> None:
    assert [as_tuple(row) for row in select(table).rows] == rows


@pytest.mark.parametrize("dataset", TABLE_3_BY_SET)
def test_rows_of_table_3_equal_the_paper(dataset: str) -> None:
    found = [as_tuple(row, dataset) for row in select("3", dataset).rows]
    suffix = "_lambda=1" if dataset == "vehicleid" else ""  # the authors' setting
    runs = [preset + suffix for preset in PRESETS_OF_TABLE_3]
    assert found == list(zip(METHODS, runs, TABLE_3_BY_SET[dataset], strict=True))
    assert select("3", dataset).metric == ("cmc1" if dataset in ("vehicleid", "vric") else "mAP")
    assert set(TABLE_3) == set(TABLE_3_BY_SET)


def test_on_other_data_sets_table_3_shows_the_scores_on_veri() -> None:
    other = select("3", "synthetic")
    assert [row.paper for row in other.rows] == [row.paper for row in select("3", "veri").rows]
    assert (other.measured_on, select("3", "vric").measured_on) == ("VeRi-776", "VRIC")


def plan_of(
    *tables: str,
    scale: plan_module.Scale = "paper",
    dataset: str = "veri",
    seeds: int = 1,
    overrides: tuple[str, ...] = (),
) -> Plan:
    figures = ["3"] if "figure" in tables else []
    return plan_runs(select_tables(tables, figures, dataset), scale, dataset, overrides, range(seeds))


def test_recipes_match_their_names() -> None:
    recipes = {run.name: run.recipe for run in plan_of("1", "2", "5", "figure").runs}
    assert recipes["pgan"] == PRESETS["pgan"] and recipes["baseline"] == PRESETS["baseline"]
    assert recipes["grid_features=256"] == PRESETS["grid"].model_copy(update={"features": 256})
    assert recipes["pgan_no_pam"] == PRESETS["pgan_no_pam"]
    assert recipes["pgan_parts=0"] == PRESETS["pgan"].model_copy(update={"parts": 0})
    assert recipes["pgan_lambda=0.5"] == PRESETS["pgan"].model_copy(update={"identity_weight": 0.5})
    assert recipes["pgan_triplets=fusion,part"].triplets == ("fusion", "part")
    assert recipes["pgan"].triplets == ALL_THREE


def test_a_setting_that_changes_any_row_is_in_the_name_of_the_table() -> None:
    names = {key: plan_of(key, overrides=("lambda=2",)).tables[0].name for key in ("plus", "1")}
    assert names == {"plus": "table-plus_lambda=2", "1": "table-1"}  # strong has 4, all rows of Table 1 have 2


def test_the_controls_of_pgan_plus_differ_from_it_in_their_boxes_alone() -> None:
    runs = {run.name: (run.recipe, run.boxes) for run in plan_of("plus").runs}
    expected = {name: (PRESETS[name], "detector") for name in ("baseline", "pgan", "pgan_plus", "strong")}
    controls = ("truth", "random", "shifted")
    assert runs == expected | {f"pgan_plus_boxes={kind}": (PRESETS["pgan_plus"], kind) for kind in controls}
    assert [row.reference for row in select("plus").rows] == [0] * 7


def test_pgan_plus_reads_as_many_parts_as_are_asked_for() -> None:
    recipes = {run.name: run.recipe for run in plan_of("plus", overrides=("parts=4",)).runs}
    for name in ("pgan_parts=4", "pgan_plus_parts=4", "pgan_plus_parts=4_boxes=random", "strong_parts=4"):
        assert recipes[name].parts == 4
    assert recipes["baseline"] == PRESETS["baseline"]  # it uses no parts


def test_on_vehicleid_lambda_is_that_of_train_in_every_table() -> None:
    """1 as in the authors' configuration; only the rows of Figure 3 b and --set say otherwise."""
    usual = plan_of("1", "2", "3", "5", "oracle", dataset="vehicleid")
    assert {run.recipe.identity_weight for run in usual.runs} == {1.0}
    recipes = {run.name: run.recipe for run in usual.runs}
    assert recipes["pgan_lambda=1"] == recipe_for("vehicleid", "pgan")
    assert recipes["pgan_features=256_lambda=1"] == recipe_for("vehicleid", "pgan", ["features=256"])
    for table in usual.tables:
        assert "_" not in table.name and table.notes[-1].startswith("lambda = 1 unless a row says otherwise")
    figure = plan_of("figure", dataset="vehicleid")
    weights = {run.name: run.recipe.identity_weight for run in figure.runs}
    varied = {"pgan_lambda=0.5": 0.5, "pgan_lambda=1": 1.0, "pgan": 2.0, "pgan_lambda=4": 4.0}
    assert varied.items() <= weights.items()
    assert {weight for name, weight in weights.items() if name not in varied} == {1.0}
    given = plan_of("3", dataset="vehicleid", overrides=("lambda=2",))
    assert [(run.name, run.recipe) for run in given.runs] == [
        (name, PRESETS[name]) for name in ("baseline", "grid", "pgan_no_pam", "pgan")
    ]
    assert given.tables[0].name == "table-3_lambda=2" and given.tables[0].notes == ()


def test_the_small_scale_uses_the_small_presets() -> None:
    recipes = {run.name: run.recipe for run in plan_of("3", scale="small").runs}
    assert recipes == {name: PRESETS[f"{name}_small"] for name in PRESETS_OF_TABLE_3}


def test_boxes_apply_to_all_rows_that_use_parts() -> None:
    two, five = select_tables(["2", "5"], [], "synthetic", "rarest")
    assert (two.name, two.title) == (
        "table-2-rarest",
        "Table 2: kinds of attention; boxes of the ground truth, the rarest kinds first",
    )
    named = [[variant_name(row.variant, "small", "synthetic") for row in table.rows] for table in (two, five)]
    assert named[0] == [name if "grid" in name else f"{name}_boxes=rarest" for _, name, _ in TABLE_2]
    assert named[1] == [name if name.endswith("=0") else f"{name}_boxes=rarest" for _, name, _ in TABLE_5]
    plain = select_tables(["2", "5"], [], "synthetic")
    for table, usual in zip((two, five), plain, strict=True):
        assert [(row.label, row.paper, row.reference) for row in table.rows] == [
            (row.label, row.paper, row.reference) for row in usual.rows
        ]


@pytest.mark.parametrize("table", ["oracle", "plus"])
def test_boxes_cannot_be_combined_with_a_table_of_several_kinds(table: str) -> None:
    with pytest.raises(UserError, match=rf"--boxes random cannot be combined with table {table}"):
        select_tables(["2", table], [], "synthetic", "random")


def test_a_shared_run_is_planned_once() -> None:
    plan = plan_of("1", "2", "3", "5", "oracle", "figure", seeds=2)
    folders = [run.folder for run in plan.runs]
    assert len(folders) == len(set(folders))
    seeds = [run.recipe.seed for run in plan.runs]
    assert seeds == sorted(seeds)  # all rows with the first seed before any with the second
    hand = {run for rows in (TABLE_1, TABLE_2, TABLE_5, ORACLE, FIGURE_3) for _, run, _ in rows} | {"pgan_no_pam"}
    assert set(folders) == {f"{name}-seed{seed}" for name in hand for seed in (0, 1)}
    using = [row for table in plan.tables for row in table.rows if plan.runs_of(row)[0].name == "pgan"]
    assert len(using) == 7  # one in each table, two in the figure
    assert all([run.recipe.seed for run in plan.runs_of(row)] == [0, 1] for row in using)


def test_an_override_that_another_table_varies_is_part_of_the_names() -> None:
    """Table 2 with 16 parts has its own runs, shared with table 5, in the same folder."""
    more, five = plan_of("2", overrides=("parts=16",)), {run.name: run for run in plan_of("5").runs}
    recipes = {run.name: run.recipe for run in more.runs}
    assert set(recipes) == {
        f"{name}{size}{parts}"
        for name, parts in (("grid", ""), ("pgan", "_parts=16"), ("pgan_no_pam", "_parts=16"))
        for size in ("", "_features=256")
    }
    assert recipes["pgan_parts=16"] == five["pgan_parts=16"].recipe
    assert recipes["grid"] == PRESETS["grid"]  # it does not use parts
    assert [more.runs_of(row)[0].name for row in more.tables[0].rows][-1] == "pgan_parts=16"
    (table,), (usual,) = more.tables, plan_of("2", overrides=("parts=8", "epochs=7")).tables
    assert (table.name, table.title.split("; ")[-1]) == ("table-2_parts=16", "parts=16")
    assert usual.name == "table-2" and "; " not in usual.title  # 8 is the preset's; no row varies epochs


@pytest.mark.parametrize(
    ("tables", "override", "words"),
    [
        (("1",), "triplets=[fusion]", "the rows of table-1 differ in triplets"),
        (("1", "2"), "features=64", "the rows of table-2 differ in features"),
        (("5",), "parts=3", "table-5 differ in parts"),
        (("figure",), "lambda=1", "figure-3 differ in lambda"),
        (("oracle",), "attention=grid", "table-oracle differ in attention"),
        (("1",), "seed=4", "--seeds"),
        (("1",), "epoch=4", "did you mean epochs?"),
    ],
)
def test_an_override_that_the_rows_vary_is_refused(tables: tuple[str, ...], override: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        plan_of(*tables, overrides=(override,))
    assert words in str(caught.value) and override.split("=")[0] in str(caught.value)


def test_tables_are_unique_and_in_the_papers_order() -> None:
    found = select_tables(["oracle", "2", "1", "2"], ["3", "3"], "veri")
    assert [table.name for table in found] == ["table-1", "table-2", "table-oracle", "figure-3"]
    assert len(select_tables(list(TABLES), list(FIGURES), "veri")) == len(TABLES) + len(FIGURES)


def test_references_are_rows_of_the_same_table() -> None:
    for table in select_tables(list(TABLES), list(FIGURES), "veri"):
        assert all(0 <= row.reference < len(table.rows) for row in table.rows)
    references = [select("2").rows[row.reference].label for row in select("2").rows]
    assert references == [f"grid attention, 2C' = {size}" for size in (256, 256, 256, 512, 512, 512)]
    figure = select("figure")
    by_label = {row.label: figure.rows[row.reference].label for row in figure.rows}
    assert by_label["PGAN, 2C' = 1024"] == "baseline, 2C' = 1024"
    assert by_label["PGAN, λ = 4"] == "baseline, 2C' = 512"


def test_rows_can_be_left_out_with_a_note() -> None:
    less = select("oracle").without(("truth", "rarest"), "there is none")
    assert [row.variant.boxes for row in less.rows] == ["detector", "detector", "random", "shifted"]
    assert less.notes[-1] == "there is none"
    assert select("1").without(("truth", "rarest"), "there is none") == select("1")

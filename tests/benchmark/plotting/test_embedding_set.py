"""What a figure is told of the embeddings that it shows."""

from pml_hyperbolic.benchmark.plotting.embedding_set import title_beside


def test_equal_titles_are_numbered():
    titles: list[str] = []
    for title in ("chest", "hier", "chest", "chest", "hier"):
        titles.append(title_beside(title, titles))
    assert titles == ["chest", "hier", "chest, 2", "chest, 3", "hier, 2"]

"""The files that a report is written to."""

from dataclasses import dataclass
from pathlib import Path

from ..artifacts.atomic_write import replace_file
from ..artifacts.output_path import check_output_path, check_target
from ..artifacts.plan_record import files_of
from .html import page
from .png import save_picture
from .report import Report


@dataclass(frozen=True, kw_only=True)
class ReportFiles:
    """The files that the report is written to."""

    html: Path | None = None
    png: Path | None = None
    json: Path | None = None  # "-" is stdout

    @property
    def json_to_stdout(self) -> bool:
        return self.json == Path("-")

    def files(self) -> dict[str, Path]:
        """Kind to path, without stdout."""
        paths = {"html": self.html, "png": self.png, "json": None if self.json_to_stdout else self.json}
        return {kind: path for kind, path in paths.items() if path is not None}

    def check(self, *inputs: Path | None) -> None:
        """Raises ValueError for a report of the wrong suffix, or one that would overwrite an input."""
        known = [file for path in inputs if path is not None for file in files_of(path)]
        for kind, path in self.files().items():
            check_output_path(path, f".{kind}", inputs=known, strict=True)
            check_target(path)

    def write_json(self, text: str) -> None:
        if (path := self.files().get("json")) is not None:
            replace_file(path, lambda file: file.write_text(text + "\n", encoding="utf-8"))

    def write(self, report: Report) -> None:
        for kind, path in self.files().items():
            if kind == "png":
                save_picture(path, report)
            elif kind == "html":
                replace_file(path, lambda file: file.write_text(page(report), encoding="utf-8"))
        self.write_json(report.to_json())

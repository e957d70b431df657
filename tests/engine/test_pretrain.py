from pathlib import Path
from tests.toy import *
def test_a(pretrained: Path, finetuned: Path) -> None:
    print(files_in(pretrained)); print(rows(pretrained)[-1]); 
    print(files_in(finetuned)); [print(r) for r in rows(finetuned)]

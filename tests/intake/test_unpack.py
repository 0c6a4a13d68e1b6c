# ruff: noqa: E501
from __future__ import annotations

import base64
import bz2
import gzip
import json
import lzma
import zlib

import brotli
import pytest
import zstandard

from auditor.intake.limits import Limits
from auditor.intake.unpack import Unpacked, unpack

CODE = "import os\n\n\ndef main() -> None:\n    print('trained', os.environ.get('X'))\n\n\nmain()\n" + "# pad\n" * 40
RAW = [{"id": lzma.FILTER_LZMA2, "preset": 9}]
B85 = base64.b85encode(lzma.compress(CODE.encode())).decode()
B85_RAW = base64.b85encode(lzma.compress(CODE.encode(), lzma.FORMAT_RAW, filters=RAW)).decode()


def _b85(data: bytes) -> str:
    return base64.b85encode(data).decode()


def _unpack(text: str, side: dict[str, bytes] | None = None, limits: Limits | None = None) -> Unpacked:
    return unpack("train_gpt.py", text, (side or {}).get, limits or Limits())


FORMS = {
    "xz": f"import lzma,base64\nexec(lzma.decompress(base64.b85decode({B85!r})))",
    "aliases": f"import lzma as L,base64 as B\nexec(L.decompress(B.b85decode({B85!r})))",
    "bytes literal": f"import lzma,base64;exec(lzma.decompress(base64.b85decode({B85.encode()!r})).decode('utf-8'))",
    "raw": f"import lzma as L,base64 as B\nexec(L.decompress(B.b85decode({B85_RAW!r}),format=L.FORMAT_RAW,"
    "filters=[{'id':L.FILTER_LZMA2,'preset':9|L.PRESET_EXTREME}]))",
    "raw by numbers": f"import lzma,base64\nF=[dict(id=33)]\nexec(lzma.decompress(base64.b85decode({B85_RAW!r}),3,None,F))",
    "zlib": f"import zlib,base64;exec(zlib.decompress(base64.b64decode({base64.b64encode(zlib.compress(CODE.encode()))!r})))",
    "deflate": f"import zlib;exec(zlib.decompress({zlib.compress(CODE.encode(), 9, -15)!r},-15))",
    "gzip": f"import gzip,base64;exec(gzip.decompress(base64.a85decode({base64.a85encode(gzip.compress(CODE.encode()))!r})))",
    "bz2": f"import bz2,base64;exec(bz2.decompress(base64.b32decode({base64.b32encode(bz2.compress(CODE.encode()))!r})))",
    "hex": f"exec(bytes.fromhex({CODE.encode().hex()!r}))",
    "brotli": f"import brotli as B,base64 as b\nexec(B.decompress(b.b85decode({_b85(brotli.compress(CODE.encode()))!r})))",
    "zstd": "import zstandard,base64\nexec(zstandard.ZstdDecompressor().decompress(base64.b85decode("
    f"{_b85(zstandard.compress(CODE.encode()))!r})))",
    "compile": f"import lzma,base64,linecache as C\nS=lzma.decompress(base64.b85decode('{B85}')).decode()\n"
    "F=__file__+'.x'\nC.cache[F]=(len(S),None,S.splitlines(True),F)\nexec(compile(S,F,'exec'))",
    "adjacent strings": f"import lzma,base64\nexec(lzma.decompress(base64.b85decode(('{B85[:50]}'\n'{B85[50:]}'))))",
    "sum of parts": f"import lzma,base64\na='{B85[:50]}'\na+='{B85[50:]}'\nexec(lzma.decompress(base64.b85decode(a)))",
    "join": f"import lzma,base64\nP=[{B85[:9]!r},{B85[9:]!r}]\nexec(lzma.decompress(base64.b85decode(''.join(P))))",
    "replace": f"import lzma,base64\n_b=b'''\n{B85[:50]}\n{B85[50:]}\n'''\n"
    "exec(lzma.decompress(base64.b85decode(_b.replace(b'\\n',b''))).decode('utf-8'))",
    "__import__": f"exec(__import__('lzma').decompress(__import__('base64').b85decode({B85!r})))",
    "getattr": f"import importlib\nm=importlib.import_module('lzma')\nb=getattr(__import__('base64'),'b85'+'decode')\n"
    f"exec(m.decompress(b({B85!r})))",
    "from import": f"from lzma import decompress as d\nfrom base64 import b85decode as e\nexec(d(e({B85!r})))",
    "lambda": f"import lzma,base64\nu=lambda s: lzma.decompress(base64.b85decode(s))\nexec(u({B85!r}))",
    "function": f"import lzma,base64\ndef u(s, f=lzma.decompress):\n    t=base64.b85decode(s)\n    return f(t)\nexec(u({B85!r}))",
    "main guard": f"import lzma,base64\ndef go():\n    exec(lzma.decompress(base64.b85decode({B85!r})),globals())\n"
    "if __name__=='__main__':\n    go()",
    "xor": f"d={bytes(b ^ 7 for b in CODE.encode())!r}\nexec(bytes(c ^ 7 for c in d).decode())",
    "translate": f"exec({CODE.encode().translate(bytes((i + 1) % 256 for i in range(256)))!r}"
    ".translate(bytes((i-1)%256 for i in range(256))))",
    "reversed": f"exec({CODE[::-1]!r}[::-1])",
    "temp file, runpy": f"import lzma,base64,os,runpy,tempfile\nc=lzma.decompress(base64.b85decode({B85!r}))\n"
    "p=os.path.join(tempfile.mkdtemp(),'t.py')\nopen(p,'wb').write(c)\nrunpy.run_path(p,run_name='__main__')",
    "with, spec": f"import lzma,base64,importlib.util as I,os\nc=lzma.decompress(base64.b85decode({B85!r}))\np='/tmp/x.py'\n"
    "if not os.path.exists(p):\n  with open(p,'wb') as f: f.write(c)\ns=I.spec_from_file_location('__main__',p)\n"
    "m=I.module_from_spec(s)\ns.loader.exec_module(m)",
    "subprocess": f"import lzma,base64,subprocess,sys\nfrom pathlib import Path\np=Path('/tmp')/'y.py'\n"
    f"p.write_bytes(lzma.decompress(base64.b85decode({B85!r})))\nsubprocess.run([sys.executable,str(p)]+sys.argv[1:])",
    "two layers": "import zlib,base64\nexec(zlib.decompress(base64.b64decode("
    f"{base64.b64encode(zlib.compress(f'import lzma,base64{chr(10)}exec(lzma.decompress(base64.b85decode({B85!r})))'.encode()))!r})))",
}


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_every_form_decodes_without_being_run(form: str) -> None:
    result = _unpack(FORMS[form])
    assert result.text == CODE, result.problems
    assert result.layers and not result.problems
    assert result.decoded == len(CODE)


def test_layers_are_named_in_order() -> None:
    assert _unpack(FORMS["raw"]).layers == ("base85", "lzma (raw)")
    assert _unpack(FORMS["two layers"]).layers == ("base64", "zlib", "base85", "lzma")


@pytest.mark.parametrize(
    "read",
    ["open('code.bin','rb').read()", "open(os.path.join(os.path.dirname(__file__),'code.bin'),'rb').read()",
     "(Path(__file__).resolve().parent/'code.bin').read_bytes()", "Path(__file__).with_name('code.bin').read_bytes()"],
)
def test_side_files_are_read_from_the_folder(read: str) -> None:
    text = f"import lzma,os\nfrom pathlib import Path\nexec(lzma.decompress({read}))"
    assert _unpack(text, {"code.bin": lzma.compress(CODE.encode())}).text == CODE
    missing = _unpack(text)
    assert missing.text == text and "code.bin is not among the files" in missing.problems[0]


def test_lzma_open_of_a_side_file() -> None:
    text = "import lzma\nwith lzma.open('c.xz','rt') as f:\n    s=f.read()\nexec(s)"
    result = _unpack(text, {"c.xz": lzma.compress(CODE.encode())})
    assert result.text == CODE and result.layers == ("lzma",)


def test_a_bundle_gives_modules_beside_the_script() -> None:
    bundle = json.dumps({"helper.py": "VALUE = 1\n" * 20, "train_gpt.py": CODE})
    text = (
        "import lzma,json,os\nb=json.loads(lzma.decompress(open('b.lzma','rb').read()))\n"
        "for n,c in b.items():\n  with open(os.path.join(os.path.dirname(__file__),n),'w') as f:\n    f.write(c)\n"
        "exec(compile(b['train_gpt.py'],'train_gpt.py','exec'))"
    )
    result = _unpack(text, {"b.lzma": lzma.compress(bundle.encode())})
    assert result.text == CODE and "helper.py" in result.modules


def test_embedded_modules_of_a_plain_script() -> None:
    body = "\n".join(f"value_{i} = {i}" for i in range(120))
    text = f"import types\nm = types.ModuleType('pack.helper')\nexec({'A = 1; ' * 30!r}, m.__dict__)\n{body}\n"
    result = _unpack(text)
    assert result.text == text and list(result.modules) == ["pack/helper.py"]


def test_the_wrapper_environment_is_noted() -> None:
    text = f"import os\nos.environ.update(A='1',B='x')\nos.environ['C']=str(2)\nos.environ.setdefault('D','3')\n{FORMS['xz']}"
    assert _unpack(text).env == [("A", "1", 2, False), ("B", "x", 2, False), ("C", "2", 3, False), ("D", "3", 4, True)]


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("exec(open('real.py').read())", "real.py"),
        ("exec(open(__file__.replace('train_gpt.py','real.py')).read())", "real.py"),
        (
            "import runpy\nfrom pathlib import Path\nrunpy.run_path(str(Path(__file__).parent/'real.py'),run_name='__main__')",
            "real.py",
        ),
        ("import subprocess,sys\nsubprocess.check_call([sys.executable,'real.py',*sys.argv[1:]])", "real.py"),
        ("import os,sys\nos.execv(sys.executable,[sys.executable,'real.py'])", "real.py"),
    ],
)
def test_shims_name_the_script_that_they_load(text: str, target: str) -> None:
    assert _unpack(text, {"real.py": CODE.encode()}).target == target


def test_a_script_that_runs_something_outside_says_so() -> None:
    result = _unpack(
        "import runpy\nfrom pathlib import Path\nrunpy.run_path(str(Path(__file__).resolve().parents[2]/'o'/'t.py'))"
    )
    assert "o/t.py, which is not in the folder" in result.problems[0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            f"import lzma,base64\nexec(lzma.decompress(base64.b85decode('{_b85(lzma.compress(bytes(40_000_000)))}')))",
            "more than 8,388,608",
        ),
        (f"import zlib\nexec(zlib.decompress({zlib.compress(bytes(40_000_000))!r}))", "more than 8,388,608"),
        (f"import bz2\nexec(bz2.decompress({bz2.compress(bytes(40_000_000))!r}))", "more than 8,388,608"),
        (f"import brotli\nexec(brotli.decompress({brotli.compress(bytes(40_000_000))!r}))", "more than 8,388,608"),
        (
            f"import zstandard\nexec(zstandard.decompress({zstandard.compress(bytes(40_000_000))!r}))",
            "more than 8,388,608",
        ),
        (
            "import lzma\nexec(lzma.decompress(b'x',lzma.FORMAT_RAW,filters=[{'id':33,'dict_size':4000000000}]))",
            "dictionary",
        ),
        ("exec('a'*10**9)", "too large"),
        ("exec('a'.replace('a','b'*10_000_000).replace('b','c'*1000))", "too long"),
        ("exec(bytes(10**12))", "large number"),
        ("x='a'\nfor i in range(60):\n    x=x+x\nexec(x)", "too l"),
        ("exec(bytes(i%7 for i in range(190_000) for j in range(190_000)))", "too long a computation"),
        ("import marshal\nexec(marshal.loads(b'x'))", "marshal"),
        ("import lzma\nexec(lzma.decompress(b'not lzma'))", "lzma:"),
        ("import urllib.request as u\nexec(u.urlopen('http://example.org').read())", "urlopen"),
    ],
)
def test_bombs_and_unknowns_become_problems(text: str, reason: str) -> None:
    result = _unpack(text)
    assert result.text == text and not result.packed
    assert reason in result.problems[0]


def test_endless_layers_stop() -> None:
    text = CODE
    for _ in range(12):
        text = f"import zlib\nexec(zlib.decompress({zlib.compress(text.encode())!r}))"
    assert "still packed after 8 layers" in _unpack(text).problems[0]


def test_a_plain_script_stays_as_it_is() -> None:
    body = "\n".join(f"def f{i}(x):\n    return x + {i}" for i in range(100))
    text = f"{body}\nexec('import os')\n"
    assert _unpack(text) == Unpacked(text)
    assert _unpack("import numpy as np\nx = 1\nexec('y = 2')\n" + "# a long comment that stays\n" * 9).text.startswith(
        "import numpy"
    )

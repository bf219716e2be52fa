"""The style sheets of reports: light and dark, screen and paper."""

# Nested, so that what is around a report in a notebook is left alone.
STYLE = """
.atoll{color-scheme:light dark;
--page:#f5f6f8;--card:#fff;--ink:#17202c;--soft:#556070;
--line:#dde2e9;--base:#8793a3;--head:#0c3f63;--on-head:#fff;--on-head-soft:#cfe3f1;
--warn:#fff6e0;--warn-edge:#b45309;--info:#eef4fb;--info-edge:#2563a8;
--c0:#1763b6;--c1:#c2410c;--c2:#0f766e;--c3:#8b3fd6;--c4:#b91c3c;--c5:#4d7c0f;--c6:#b0257f;
--c7:#475569;
color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Noto Sans CJK SC",sans-serif;
@media (prefers-color-scheme:dark){--page:#10151c;--card:#19212b;--ink:#e8edf3;
--soft:#a5b1c0;--line:#2e3947;--base:#6b798b;--head:#0b2c44;--on-head:#f2f7fb;
--on-head-soft:#a9c6da;--warn:#33270f;--warn-edge:#f0b354;--info:#162637;--info-edge:#7db5ea;
--c0:#6cb0ff;--c1:#fb9a5b;--c2:#4fd1c0;--c3:#c79bff;--c4:#ff8a9a;--c5:#b6d96b;--c6:#ff92cf;
--c7:#a8b3c4}
*{box-sizing:border-box}
h2{font-size:1.25rem;margin:30px 0 12px;overflow-wrap:anywhere}
h3{font-size:1rem;margin:0 0 2px;font-weight:620;overflow-wrap:anywhere}
.grid{display:grid;gap:18px;grid-template-columns:repeat(auto-fill,minmax(min(100%,470px),1fr));
margin:18px 0 30px}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;
padding:16px 18px 14px;min-width:0}
.wide{grid-column:1/-1}.small{align-self:start}
.help{color:var(--soft);font-size:.87rem;margin:0 0 6px}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(132px,1fr));gap:12px 22px;
margin:10px 0 2px}
dl div{min-width:0}
dl .long{grid-column:1/-1}
dt{color:var(--soft);font-size:.84rem;overflow-wrap:anywhere}
dd{margin:0;font-size:1.32rem;font-weight:600;font-variant-numeric:tabular-nums;
overflow-wrap:anywhere}
.long dd{font-size:.95rem;font-weight:400}
.scroll{overflow-x:auto;margin-top:8px;border-radius:4px}
table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{padding:6px 12px 6px 0;text-align:left;border-bottom:1px solid var(--line);
vertical-align:top}
th{color:var(--soft);font-weight:600;border-bottom:2px solid var(--line)}
tr:last-child td{border-bottom:0}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:2px 18px;margin:6px 0 2px;padding:0;
font-size:.87rem}
.legend li{display:flex;align-items:center;gap:7px;min-width:0;overflow-wrap:anywhere}
.legend svg{width:22px;height:12px;flex:none}
.note{border-left:4px solid var(--info-edge);background:var(--info)}
.warning{border-left-color:var(--warn-edge);background:var(--warn)}
.note p{margin:2px 0 0;white-space:pre-line;overflow-wrap:anywhere}
figure{margin:4px 0 0}
figure svg{display:block;width:100%;height:auto}
figure svg text{fill:var(--soft);font-size:12px}
figure svg .axis,figure svg .name{fill:var(--ink)}
figure svg .figure{font-variant-numeric:tabular-nums}
.rule{stroke:var(--line);stroke-width:1}.base{stroke:var(--base);stroke-width:1}
.stroke{fill:none;stroke-width:2.2;stroke-linejoin:round;stroke-linecap:round}
.dashed{stroke-dasharray:7 4}
.reference{stroke:var(--base);stroke-width:1.5;stroke-dasharray:4 5;color:var(--base)}
.hit{opacity:0;stroke:none;fill:currentColor}.hit:hover{opacity:1}
.dot{fill:currentColor;fill-opacity:.72;stroke:none}
.bar{fill:currentColor}
.band{fill:currentColor;fill-opacity:.14;stroke:none}
.s0{color:var(--c0)}.s1{color:var(--c1)}.s2{color:var(--c2)}.s3{color:var(--c3)}
.s4{color:var(--c4)}.s5{color:var(--c5)}.s6{color:var(--c6)}.s7{color:var(--c7)}
.stroke:not(.reference){stroke:currentColor}
details{margin-top:8px;font-size:.9rem}summary{cursor:pointer;color:var(--soft)}
nav a:focus-visible,.scroll:focus-visible,summary:focus-visible{outline:3px solid var(--c1);
outline-offset:2px}}
""".strip()

# What a page of its own has around its reports.
PAGE = """
body{margin:0;background:var(--page);color:var(--ink)}
header{background:var(--head);color:var(--on-head)}
header>div,main,footer{max-width:1180px;margin:0 auto;padding:0 24px}
header>div{padding-top:26px;padding-bottom:22px}
h1{font-size:1.65rem;line-height:1.2;margin:0;font-weight:650;overflow-wrap:anywhere}
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:6px 20px;margin:12px 0 0;padding:0}
nav a{color:var(--on-head-soft)}
footer{color:var(--soft);font-size:.85rem;padding-bottom:28px}
@media print{body{background:#fff}.card{break-inside:avoid}header{background:none;color:inherit}}
""".strip()

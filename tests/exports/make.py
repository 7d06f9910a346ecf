"""The exports of pandas, and files as spreadsheets and SAS write them."""
import pandas as pd, numpy as np
r = np.random.default_rng(4)
n = 24
d = pd.DataFrame({"x": r.normal(size=n).round(3), "kind": r.choice(["a", "b", "c"], n), "flag": r.choice([True, False], n),
                  "when": pd.date_range("2024-01-01 06:00", periods=n, freq="36h"), "size": (1500 + 800 * r.random(n)).round(2)})
d["y"] = (2 * d.x + (d.kind == "b") + 0.001 * d["size"] + 0.1 * r.normal(size=n)).round(3)
d.to_csv("to_csv.csv"); d.to_csv("to_csv_no_index.csv", index=False); d.to_csv("to_csv_german.csv", sep=";", decimal=",", index=False)
m = d.copy(); m.loc[2, "x"] = np.nan; m.loc[4, "kind"] = np.nan; m.to_csv("to_csv_missing.csv", index=False)
d.to_csv("to_csv.csv.gz", index=False); d.to_csv("to_csv_utf16.csv", index=False, encoding="utf-16")
german = lambda v: f"{v:,.2f}".replace(",", "_").replace(".", ",").replace("_", ".")
french = lambda v: f"{v:,.2f}".replace(",", "\u202f").replace(".", ",")
with open("excel_german.csv", "w", encoding="utf-8-sig", newline="") as f:
    f.write("sep=;\r\n" + ";".join(["Datum", "Art", "Umsatz", "y"]) + "\r\n")
    for row in d.itertuples():
        f.write(f"{row.when:%d.%m.%Y};{row.kind};{german(row.size)};{german(row.y)}\r\n")
with open("excel_french.csv", "w", encoding="cp1252", newline="", errors="replace") as f:
    f.write("Date;Catégorie;Chiffre d’affaires;y\r\n")
    for row in d.itertuples():
        f.write(f"{row.when:%d/%m/%Y};{row.kind};{french(row.size).replace(chr(0x202f), chr(0xa0))};{french(row.y)}\r\n")
with open("libreoffice.csv", "w", encoding="utf-8", newline="") as f:
    f.write('"x","kind","flag","y"\n')
    for row in d.itertuples():
        f.write(f'{row.x},"{row.kind}",{str(row.flag).upper()},{row.y}\n')
with open("sas.txt", "w") as f:
    f.write("    x kind    size       y\n")
    for i, row in enumerate(d.itertuples()):
        f.write(f"{row.x:8.3f} {row.kind:>4} {row.size:8.2f} {row.y:8.3f}\n")

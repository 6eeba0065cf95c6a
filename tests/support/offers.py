"""AWS's public offer files on loopback, in their real shape, and a server of them that can fail."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

PUBLISHED = "2026-11-25T17:04:11Z"
VERSION = "20261125170411"
TERMS = ("RelatedTo", "LeaseContractLength", "PurchaseOption", "OfferingClass")
"""Columns of offers with reservations."""
FIRST = (
    "SKU",
    "OfferTermCode",
    "RateCode",
    "TermType",
    "PriceDescription",
    "EffectiveDate",
    "StartingRange",
    "EndingRange",
    "Unit",
    "PricePerUnit",
    "Currency",
)
LAST = ("Product Family", "serviceCode", "Location", "Location Type")


def rate(sku: str, price: str, unit: str = "Requests", **columns: str) -> dict[str, str]:
    """A rate of a product in us-east-1, on demand. Names of columns with a space are written with `__`."""
    spelled = {name.replace("__", " "): value for name, value in columns.items()}
    start = spelled.get("StartingRange", "0")
    return {
        "SKU": sku,
        "OfferTermCode": "JRTCKXETXF",
        "RateCode": f"{sku}.JRTCKXETXF.{abs(hash((start, price))) % 10**8:08d}",
        "TermType": "OnDemand",
        "PriceDescription": f'${price} per {unit}, "list" price',
        "EffectiveDate": "2026-11-01",
        "StartingRange": "0",
        "EndingRange": "Inf",
        "Unit": unit,
        "PricePerUnit": price,
        "Currency": "USD",
        "Location": "US East (N. Virginia)",
        "Location Type": "AWS Region",
        "Region Code": "us-east-1",
        **spelled,
    }


def as_csv(offer: str, rows: Sequence[Mapping[str, str]]) -> str:
    """An offer's CSV file: five lines about it, its columns, and a line for each rate, all quoted."""
    own = sorted({name for row in rows for name in row} - {*FIRST, *LAST, *TERMS})
    terms = TERMS if any(row["TermType"] == "Reserved" for row in rows) else ()
    columns = [*FIRST, *terms, *LAST, *own]
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(["FormatVersion", "v1.0"])
    writer.writerow(["Disclaimer", 'This pricing list is for informational purposes only, "as is".'])
    writer.writerow(["Publication Date", PUBLISHED])
    writer.writerow(["Version", VERSION])
    writer.writerow(["OfferCode", offer])
    writer.writerow(columns)
    writer.writerows([row.get(name, "") for name in columns] for row in rows)
    return text.getvalue()


@dataclass
class Offers:
    """What the server has, and how it misbehaves.

    Attributes:
        files: CSV text by offer, of us-east-1.
        answers: bodies or statuses that come instead, by the end of a path.
        failures: how often the request for an end of a path fails first, and with which status; 0: the transfer is cut.
        asked: paths, as they were asked for.
    """

    files: dict[str, str]
    answers: dict[str, str | int] = field(default_factory=dict)
    failures: dict[str, list[int]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def body(self, path: str) -> str | int:
        for end, answer in self.answers.items():
            if path.endswith(end):
                return answer
        if path == "/offers/v1.0/aws/index.json":
            return json.dumps({"formatVersion": "v1.0", "offers": {code: _entry(code) for code in self.files}})
        offer = path.split("/")[4]
        if path == f"/offers/v1.0/aws/{offer}/current/region_index.json":
            file = f"/offers/v1.0/aws/{offer}/{VERSION}/us-east-1/index.json"
            regions = {"us-east-1": {"regionCode": "us-east-1", "currentVersionUrl": file}}
            return json.dumps({"formatVersion": "v1.0", "regions": regions})
        if path == f"/offers/v1.0/aws/{offer}/{VERSION}/us-east-1/index.csv":
            return self.files[offer]
        return HTTPStatus.NOT_FOUND


def _entry(code: str) -> dict[str, str]:
    return {
        "offerCode": code,
        "versionIndexUrl": f"/offers/v1.0/aws/{code}/index.json",
        "currentVersionUrl": f"/offers/v1.0/aws/{code}/current/index.json",
        "currentRegionIndexUrl": f"/offers/v1.0/aws/{code}/current/region_index.json",
    }


@contextmanager
def serving(offers: Offers) -> Iterator[Offers]:
    """Serve offers; their `url` is that of the index."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            offers.asked.append(self.path)
            failing = next((left for end, left in offers.failures.items() if self.path.endswith(end) and left), None)
            body = offers.body(self.path)
            cut = False
            if failing is not None:
                status = failing.pop(0)
                cut = status == 0
                body = body if cut else status
            if isinstance(body, int):
                self.send_error(body)
                return
            data = body.encode()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if cut else data)
            self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        offers.url = f"http://127.0.0.1:{server.server_address[1]}/offers/v1.0/aws/index.json"
        try:
            yield offers
        finally:
            server.shutdown()
            thread.join()


def lambda_offer(arm: str = "0.0000133334") -> str:
    """AWSLambda nearly as it is in our list: three tiers, the free tier beside them, another architecture."""
    group = {"Group": "AWS-Lambda-Duration-ARM", "usageType": "Lambda-GB-Second-ARM", "operation": ""}
    unit = "Lambda-GB-Second"
    return as_csv(
        "AWSLambda",
        [
            # Not in the order of their ranges, as AWS doesn't sort them.
            rate("ARM", "0.0000120001", unit, StartingRange="7500000000", EndingRange="18750000000", **group),
            rate("ARM", arm, unit, EndingRange="7500000000", **group),
            rate("ARM", "0.0000106667", unit, StartingRange="18750000000", **group),
            rate("FREE", "0.0000000000", unit, EndingRange="400000", **group),
            rate(
                "ANY", "0.0000000000", unit, **{**group, "Region__Code": "", "usageType": "Global-Lambda-GB-Second-ARM"}
            ),
            rate("X86", "0.0000166667", unit, Group="AWS-Lambda-Duration", usageType="Lambda-GB-Second"),
            rate("REQ", "0.0000002000", Group="AWS-Lambda-Requests", usageType="USE1-Request"),
            rate("TOKYO", "9", Group="AWS-Lambda-Requests", usageType="APN1-Request", Region__Code="ap-northeast-1"),
            rate("VCPU", "0.0000276944", "vCPU-Seconds", usageType="Lambda-MicroVM-vCPU-Second-ARM"),
        ],
    )


def ec2_offer() -> str:
    """AmazonEC2: one instance type on demand and reserved, beside other systems and tenancies of it."""
    machine = {
        "Instance__Type": "g6.xlarge",
        "Operating__System": "Linux",
        "Tenancy": "Shared",
        "Pre__Installed__S/W": "NA",
        "CapacityStatus": "Used",
        "usageType": "BoxUsage:g6.xlarge",
    }

    def reserved(price: str, unit: str, years: str, option: str, offering: str = "standard") -> dict[str, str]:
        terms = {"LeaseContractLength": years, "PurchaseOption": option, "OfferingClass": offering}
        return rate("G6", price, unit, TermType="Reserved", **machine, **terms)

    return as_csv(
        "AmazonEC2",
        [
            rate("G6", "0.9000000000", "Hrs", **machine),
            rate("WIN", "1.1", "Hrs", **{**machine, "Operating__System": "Windows"}),
            rate("DED", "1.2", "Hrs", **{**machine, "Tenancy": "Dedicated"}),
            rate("ODCR", "0", "Hrs", **{**machine, "CapacityStatus": "AllocatedCapacityReservation"}),
            reserved("0.5500000000", "Hrs", "1yr", "No Upfront"),
            reserved("0.6", "Hrs", "1yr", "No Upfront", "convertible"),
            reserved("2500", "Quantity", "1yr", "Partial Upfront"),
            reserved("0.28", "Hrs", "1yr", "Partial Upfront"),
            reserved("7884", "Quantity", "3yr", "All Upfront"),
            reserved("0.0000000000", "Hrs", "3yr", "All Upfront"),
            rate("NAT", "0.0450000000", "Hrs", usageType="NatGateway-Hours"),
        ],
    )

"""Sends logs with the OpenTelemetry SDK: send.py (grpc|http) (none|gzip) URL, with records as JSON lines on standard input
(`body`, `attributes`, `severity`). Prints the result of each export. Certificates and headers come from the SDK's own environment
variables (`OTEL_EXPORTER_OTLP_CERTIFICATE`, `OTEL_EXPORTER_OTLP_HEADERS`, ...)."""

import json
import os
import sys

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

protocol, compression, endpoint = sys.argv[1:]
# How long an export is tried, in seconds: the SDK tries again after an outage, and takes a failed handshake for one.
timeout = float(os.environ.get("SEND_TIMEOUT", "60"))
if protocol == "grpc":
    import grpc
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter

    chosen = grpc.Compression.Gzip if compression == "gzip" else grpc.Compression.NoCompression
    exporter = OTLPLogExporter(endpoint=endpoint, compression=chosen, timeout=timeout)
else:
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

    chosen = Compression.Gzip if compression == "gzip" else Compression.NoCompression
    exporter = OTLPLogExporter(endpoint=f"{endpoint}/v1/logs", compression=chosen, timeout=timeout)

export = exporter.export


def reported(batch):
    result = export(batch)
    print(result.name, flush=True)
    return result


exporter.export = reported
provider = LoggerProvider(resource=Resource({"service.name": "orders", "service.version": "1.2"}))
provider.add_log_record_processor(BatchLogRecordProcessor(exporter, export_timeout_millis=60_000))
logger = provider.get_logger("orders.requests", "3.4")
for line in sys.stdin:
    record = json.loads(line)
    logger.emit(
        LogRecord(
            timestamp=record.get("timestamp"),
            body=record.get("body"),
            attributes=record.get("attributes"),
            severity_text=record.get("severity"),
            severity_number=SeverityNumber.INFO,
        )
    )
provider.force_flush(60_000)
provider.shutdown()

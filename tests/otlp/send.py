"""Sends logs with the OpenTelemetry SDK: send.py (grpc|http) (none|gzip) ENDPOINT, with records as JSON lines on standard
input (`body`, `attributes`, `severity`). Prints the result of each export."""

import json
import sys

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

protocol, compression, endpoint = sys.argv[1:]
if protocol == "grpc":
    import grpc
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter

    chosen = grpc.Compression.Gzip if compression == "gzip" else grpc.Compression.NoCompression
    exporter = OTLPLogExporter(endpoint=endpoint, insecure=True, compression=chosen, timeout=60)
else:
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

    chosen = Compression.Gzip if compression == "gzip" else Compression.NoCompression
    exporter = OTLPLogExporter(endpoint=f"http://{endpoint}/v1/logs", compression=chosen, timeout=60)

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

"""Receives logs with OpenTelemetry's own messages: receive.py (grpc|http) PORT (all|partial). Prints `ready`, and each request as
JSON. With `partial`, the first record of each request counts as not taken."""

import gzip
import json
import sys
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as service

protocol, port, taken = sys.argv[1], int(sys.argv[2]), sys.argv[3]


def answer(request):
    # One write, so that requests at the same time are whole lines.
    sys.stdout.write(json.dumps(MessageToDict(request)) + "\n")
    sys.stdout.flush()
    response = service.ExportLogsServiceResponse()
    if taken == "partial":
        response.partial_success.rejected_log_records = 1
        response.partial_success.error_message = "too old"
    return response


if protocol == "grpc":
    import grpc
    from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as stubs

    class Servicer(stubs.LogsServiceServicer):
        def Export(self, request, context):
            return answer(request)

    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    stubs.add_LogsServiceServicer_to_server(Servicer(), server)
    if server.add_insecure_port(f"127.0.0.1:{port}") != port:
        sys.exit("the port is in use")
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()
else:

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            response = answer(service.ExportLogsServiceRequest.FromString(body)).SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(response)))
            self.end_headers()
            self.wfile.write(response)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    print("ready", flush=True)
    server.serve_forever()

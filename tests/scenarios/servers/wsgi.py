"""What gunicorn serves."""
import os
import subprocess
import tempfile

print("loaded", flush=True)


def app(environ, start_response):
    body = b"ok"
    if environ["PATH_INFO"] == "/work":
        sent = environ["wsgi.input"].read()
        said = subprocess.run(["sh", "-c", "echo child | tr a-z A-Z"], capture_output=True).stdout
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"hello")
            file.flush()
            body = b"child %s file %d sent %d" % (said.strip(), os.stat(file.name).st_size, len(sent))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]

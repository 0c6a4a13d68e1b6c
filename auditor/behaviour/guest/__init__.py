"""The process inside the sandbox: it runs the script under the shims and tells the host what happened."""

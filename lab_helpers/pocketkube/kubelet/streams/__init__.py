"""The streaming protocols of exec, attach and port-forward, as a kubelet speaks them."""

"""Views for notebooks that go on by themselves. Each leaves a static picture behind and works without a front end."""

"""Specs of an environment on one cluster, and of an app of plain manifests that runs there."""

ON_BERLIN = """
apiVersion: bateau.dev/v1alpha1
kind: Environment
metadata: {name: prod}
spec: {clusters: [berlin], namespace: %(namespace)s}
---
apiVersion: bateau.dev/v1alpha1
kind: Cluster
metadata: {name: berlin}
spec: {context: %(context)s}
"""
SHOP_ON_BERLIN = (
    ON_BERLIN
    + """
---
apiVersion: bateau.dev/v1alpha1
kind: App
metadata: {name: shop}
spec: {manifests: [objects/*.yaml]}
"""
)

"""Specs of an app of plain manifests that runs on one cluster."""

SHOP_ON_BERLIN = """
apiVersion: bateau.dev/v1alpha1
kind: Environment
metadata: {name: prod}
spec: {clusters: [berlin], namespace: %(namespace)s}
---
apiVersion: bateau.dev/v1alpha1
kind: Cluster
metadata: {name: berlin}
spec: {context: %(context)s}
---
apiVersion: bateau.dev/v1alpha1
kind: App
metadata: {name: shop}
spec: {manifests: [objects/*.yaml]}
"""

#!/bin/sh
# Makes the signatures here anew, with new keys: in an environment with model-signing 1.1.1 and pyOpenSSL (which it needs,
# and does not ask for), run it in this folder. The private keys are not kept.
set -e
rm -rf model ./*.sig ./*.pem
mkdir -p model/stages/0_scaler
printf 'not a real model\n' > model/model.ini
printf '{"class":"a"}\n' > model/stages/0_scaler/part-00000
printf 'one file\n' > model.zip
for curve in prime256v1 secp384r1 secp521r1; do
    openssl ecparam -name "$curve" -genkey -noout -out private
    openssl ec -in private -pubout -out "$curve.pem" 2> /dev/null
    model_signing sign key model.zip --private_key private --signature "$curve.sig"
    [ "$curve" = secp384r1 ] && model_signing sign key model --private_key private --signature folder.sig
done
rm private
